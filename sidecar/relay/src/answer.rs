//! The backend's 101, where it is a plain one: the rules of `handshake.py` and `headers.py`.
//!
//! A table of cases holds both to each other. Nothing is refused here: what is not plain goes to
//! the interpreter, which judges it by all the rules.

/// Bytes of a response head before its end.
pub const MAX_HEAD: usize = 64 * 1024;

pub const HEAD_END: &[u8] = b"\r\n\r\n";

const STATUS: &[u8] = b"HTTP/1.1 101";
const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";

/// Fields that end here, but for Upgrade and Connection (RFC 9110 section 7.6.1), and the length,
/// which a 101 has none of (section 8.6).
const NOT_PASSED: [&str; 7] = [
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
];

/// What follows from a 101 that opens the tunnel.
#[derive(Debug, PartialEq, Eq)]
pub struct Opening {
    /// The head that the client gets.
    pub head: Vec<u8>,
    pub subprotocol: String,
    /// Bytes of the backend's head: frames may follow it.
    pub size: usize,
}

/// What follows from the answer that `received` begins with, if it is a plain 101: each field that
/// decides stands there once, and its value is the only one possible.
pub fn opening(received: &[u8], accept: &[u8]) -> Option<Opening> {
    let end = received.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END)?;
    let mut lines = received[..end + 2].split_inclusive(|byte| *byte == b'\n');
    if end > MAX_HEAD || !is_status(lines.next()?.strip_suffix(b"\r\n")?) {
        return None;
    }
    let (mut upgrade, mut connection, mut accepted, mut subprotocol) = (None, None, None, None);
    let mut head = SWITCHING.to_vec();
    for line in lines {
        let (name, value) = field(line.strip_suffix(b"\r\n")?)?;
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is("upgrade") {
            once(&mut upgrade, value)?;
            continue;
        } else if is("connection") {
            once(&mut connection, value)?;
            continue;
        } else if is("sec-websocket-accept") {
            once(&mut accepted, value)?;
        } else if is("sec-websocket-protocol") {
            once(&mut subprotocol, value)?;
        } else if NOT_PASSED.into_iter().any(is) {
            continue;
        }
        for part in [name, b": ", value, b"\r\n"] {
            head.extend(part);
        }
    }
    head.extend(b"\r\n");
    let opens = upgrade?.eq_ignore_ascii_case(b"websocket")
        && connection?.eq_ignore_ascii_case(b"upgrade")
        && accepted? == accept;
    let subprotocol = subprotocol.unwrap_or_default().iter().copied().map(char::from).collect();
    opens.then_some(Opening { head, subprotocol, size: end + HEAD_END.len() })
}

fn is_status(line: &[u8]) -> bool {
    let is_text = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
    line.strip_prefix(STATUS).is_some_and(|reason| match reason {
        [] => true,
        [first, rest @ ..] => *first == b' ' && rest.iter().all(is_text),
    })
}

/// Name and value of a header field.
pub fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], trimmed(&line[colon + 1..]));
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let well_formed = !name.is_empty()
        && name.iter().all(is_token)
        && !value.iter().any(|byte| matches!(byte, b'\0' | b'\r' | b'\n'));
    well_formed.then_some((name, value))
}

fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Keeps what may stand there once only.
pub fn once<'a>(place: &mut Option<&'a [u8]>, value: &'a [u8]) -> Option<()> {
    place.replace(value).is_none().then_some(())
}
