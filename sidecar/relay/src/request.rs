//! A client's request to upgrade, where it is a plain one: the rules of `requests.py`,
//! `handshake.py` and `headers.py`.
//!
//! A table of cases holds both to each other. Nothing is refused here: what is not plain goes to
//! the interpreter, which judges it by all the rules. In a plain one each field that decides stands
//! once, and means the only thing possible; whatever else there is means nothing here.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;

use crate::answer::{HEAD_END, field, once};

/// Fields of a head at most; their bytes are bounded by what is received at first.
const MAX_FIELDS: usize = 100;

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Fields that a plain request is without: they frame a body, or may not stand there twice, or are
/// of another protocol.
const UNUSUAL: [&str; 10] = [
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "etag",
    "expect",
    "max-forwards",
    "sec-websocket-key1",
    "server",
    "transfer-encoding",
];

/// Fields that the backend gets none of, or as the sidecar writes them.
const NOT_PASSED: [&str; 13] = [
    "connection",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "via",
    "x-real-ip",
];
const FORWARDED: &[u8] = b"x-forwarded-";
const REQUEST_ID: &str = "x-request-id";

/// A field's name and value, in what was received.
type Field = (Range<usize>, Range<usize>);

/// A plain request to upgrade.
#[derive(Debug)]
pub struct Request {
    received: Vec<u8>,
    target: Range<usize>,
    host: Range<usize>,
    fields: Vec<Field>,
    /// Bytes of the head.
    size: usize,
    pub accept: String,
}

/// Who sent it, as `headers.client` knows, and what the sidecar says of itself.
pub struct Forwarding<'a> {
    pub address: &'a str,
    pub forwarded_for: &'a str,
    pub scheme: &'a str,
    pub host: &'a str,
    /// Whether its X-Request-Id is believed.
    pub trusted: bool,
    /// The sidecar's name in Via.
    pub identity: &'a [u8],
    pub request_id: &'a str,
}

impl Request {
    /// What `received` begins with, if that is a plain request to upgrade, or else `received`.
    pub fn plain(received: Vec<u8>) -> Result<Self, Vec<u8>> {
        match parse(&received) {
            Some(Parsed { target, host, fields, size, accept }) => {
                Ok(Self { received, target, host, fields, size, accept })
            }
            None => Err(received),
        }
    }

    /// All that was received.
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// What came behind the head.
    pub fn early(&self) -> &[u8] {
        &self.received[self.size..]
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        self.text(&self.target)
    }

    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    pub fn query(&self) -> &str {
        self.target().split_once('?').map_or("", |(_, query)| query)
    }

    pub fn host(&self) -> &str {
        self.text(&self.host)
    }

    /// The host as routes have it: no port, lower case, no trailing dot.
    pub fn hostname(&self) -> String {
        let name = self.host().split(':').next().unwrap_or_default().to_ascii_lowercase();
        name.strip_suffix('.').map(str::to_owned).unwrap_or(name)
    }

    /// What Connection says.
    pub fn options(&self) -> impl Iterator<Item = &[u8]> {
        self.values(b"connection").flat_map(elements)
    }

    fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.received[range.clone()]).expect("a plain head is ASCII")
    }

    /// Names and values as they came.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let bytes = |range: &Range<usize>| &self.received[range.clone()];
        self.fields.iter().map(move |(name, value)| (bytes(name), bytes(value)))
    }

    /// The values of the fields called `name`, in any case.
    pub fn values(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        self.fields().filter(move |field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1)
    }

    /// What the client offers, in its order.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        let offers = self.values(b"sec-websocket-protocol").flat_map(elements);
        offers.map(|offer| std::str::from_utf8(offer).expect("a plain head is ASCII"))
    }

    /// The head that the backend gets, with `target` and `host`, as `headers.to_backend` has it.
    pub fn head(&self, target: &str, host: &str, from: &Forwarding) -> Vec<u8> {
        let mut head = Vec::with_capacity(self.size + 512);
        let mut write = |parts: &[&[u8]]| parts.iter().for_each(|part| head.extend(*part));
        write(&[b"GET ", target.as_bytes(), b" HTTP/1.1\r\nHost: ", host.as_bytes(), b"\r\n"]);
        let mut has_request_id = false;
        for (name, value) in self.fields() {
            if name.eq_ignore_ascii_case(REQUEST_ID.as_bytes()) {
                has_request_id = from.trusted;
                if !from.trusted {
                    continue;
                }
            } else if !is_passed(name) {
                continue;
            }
            write(&[name, b": ", value, b"\r\n"]);
        }
        write(&[b"Upgrade: websocket\r\nConnection: Upgrade\r\n"]);
        write(&[b"X-Forwarded-For: ", from.forwarded_for.as_bytes(), b"\r\n"]);
        write(&[b"X-Forwarded-Proto: ", from.scheme.as_bytes(), b"\r\n"]);
        if !from.host.is_empty() {
            write(&[b"X-Forwarded-Host: ", from.host.as_bytes(), b"\r\n"]);
        }
        write(&[b"X-Real-IP: ", from.address.as_bytes(), b"\r\nForwarded: for="]);
        match from.address.contains(':') {
            true => write(&[b"\"[", from.address.as_bytes(), b"]\""]),
            false => write(&[from.address.as_bytes()]),
        }
        if !from.host.is_empty() {
            write(&[b";host=\"", from.host.as_bytes(), b"\""]);
        }
        write(&[b";proto=", from.scheme.as_bytes(), b"\r\nVia: "]);
        self.values(b"via").for_each(|via| write(&[via, b", "]));
        write(&[b"1.1 ", from.identity, b"\r\n"]);
        if !has_request_id {
            write(&[b"X-Request-Id: ", from.request_id.as_bytes(), b"\r\n"]);
        }
        write(&[b"\r\n"]);
        head
    }
}

fn is_passed(name: &[u8]) -> bool {
    let is_forwarded =
        name.len() >= FORWARDED.len() && name[..FORWARDED.len()].eq_ignore_ascii_case(FORWARDED);
    !is_forwarded && !is_one_of(name, &NOT_PASSED)
}

fn is_one_of(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

struct Parsed {
    target: Range<usize>,
    host: Range<usize>,
    fields: Vec<Field>,
    size: usize,
    accept: String,
}

fn parse(received: &[u8]) -> Option<Parsed> {
    let end = received.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END)?;
    let place = |part: &[u8]| {
        let start = part.as_ptr() as usize - received.as_ptr() as usize;
        start..start + part.len()
    };
    let mut lines = received[..end + 2].split_inclusive(|byte| *byte == b'\n');
    let target = target(lines.next()?)?;
    let (mut host, mut upgrade, mut connection, mut version, mut key, mut agent) =
        Default::default();
    let mut fields = Vec::with_capacity(16);
    for line in lines {
        let (name, value) = field(line.strip_suffix(b"\r\n")?)?;
        let is_text = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        if name.contains(&b'_') || !is_text || fields.len() == MAX_FIELDS {
            return None;
        }
        let decides = match name.to_ascii_lowercase().as_slice() {
            b"host" => Some(&mut host),
            b"upgrade" => Some(&mut upgrade),
            b"connection" => Some(&mut connection),
            b"sec-websocket-version" => Some(&mut version),
            b"sec-websocket-key" => Some(&mut key),
            b"user-agent" => Some(&mut agent),
            _ if is_one_of(name, &UNUSUAL) => return None,
            _ => None,
        };
        if let Some(place) = decides {
            once(place, value)?;
        }
        fields.push((place(name), place(value)));
    }
    let (host, key): (&[u8], &[u8]) = (host?, key?);
    let plain = is_host(host)
        && upgrade?.eq_ignore_ascii_case(b"websocket")
        && nominates_upgrade(connection?)
        && version? == b"13"
        && is_nonce(key);
    let accept = plain.then(|| accept_for(key))?;
    let (target, host) = (place(target), place(host));
    Some(Parsed { target, host, fields, size: end + HEAD_END.len(), accept })
}

/// Sec-WebSocket-Accept for Sec-WebSocket-Key (RFC 6455 section 4.2.2).
fn accept_for(key: &[u8]) -> String {
    let mut digest = Sha1::from(key);
    digest.update(GUID);
    STANDARD.encode(digest.digest().bytes())
}

/// The target of a request's first line: a path, and perhaps a query.
fn target(line: &[u8]) -> Option<&[u8]> {
    let target = line.strip_prefix(b"GET ")?.strip_suffix(b" HTTP/1.1\r\n")?;
    let plain = target.starts_with(b"/")
        && target.iter().all(|byte| matches!(byte, b'!'..=b'~') && *byte != b'#')
        && encodings(target)
            .all(|code| code.len() == 2 && code.iter().all(u8::is_ascii_hexdigit) && code != b"00");
    plain.then_some(target)
}

/// The two bytes behind each percent sign, or fewer at the end.
fn encodings(target: &[u8]) -> impl Iterator<Item = &[u8]> {
    let signs = target.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    signs.map(|(at, _)| &target[at + 1..target.len().min(at + 3)])
}

/// Whether `host` is a name or an IPv4 address, perhaps with a port.
fn is_host(host: &[u8]) -> bool {
    let mut parts = host.splitn(2, |byte| *byte == b':');
    let (name, port) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    !name.is_empty()
        && name.iter().all(is_name)
        && port.len() <= 5
        && port.iter().all(u8::is_ascii_digit)
}

fn nominates_upgrade(connection: &[u8]) -> bool {
    let upgrades = |option: &&[u8]| option.eq_ignore_ascii_case(b"upgrade");
    let lives_on = |option: &[u8]| option.eq_ignore_ascii_case(b"keep-alive");
    elements(connection).any(|option| upgrades(&option))
        && elements(connection).all(|option| upgrades(&option) || lives_on(option))
}

/// Whether `key` is the base64 of 16 bytes.
fn is_nonce(key: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.len() == 24 && key[..22].iter().all(is_letter) && key.ends_with(b"==")
}

/// The elements of a list, those that are nothing left out.
fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty())
}
