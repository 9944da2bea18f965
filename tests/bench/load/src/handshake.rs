//! The opening handshake of RFC 6455, section 4, from both sides.

use crate::digest::{base64, sha1};
use crate::outcome::Outcome;

/// A head longer than this is taken for garbage.
const MAX_HEAD: usize = 16 * 1024;

/// The value of `Sec-WebSocket-Accept` that answers `key`.
pub fn accept(key: &str) -> String {
    base64(&sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()))
}

/// A request to upgrade, with headers of a browser's size.
pub fn request(host: &str, key: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\n\
         Host: {host}\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         Accept: */*\r\n\
         Accept-Language: en-US,en;q=0.5\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\n\
         Origin: http://{host}\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\n\
         Connection: keep-alive, Upgrade\r\n\
         Pragma: no-cache\r\n\
         Cache-Control: no-cache\r\n\
         Upgrade: websocket\r\n\r\n"
    )
}

/// The answer that opens a WebSocket for `key`.
pub fn response(key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    )
}

/// A request's or a response's head, complete.
pub struct Head {
    text: String,
}

impl Head {
    /// Takes a complete head off the front of `bytes`, or leaves them as they are.
    pub fn take(bytes: &mut Vec<u8>) -> Outcome<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if bytes.len() > MAX_HEAD { Err("endless head".into()) } else { Ok(None) };
        };
        let head: Vec<u8> = bytes.drain(..end + 4).collect();
        let text = String::from_utf8(head)?;
        Ok(Some(Self { text }))
    }

    /// The request line or the status line.
    pub fn start(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The value of the first header called `name`, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.text.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Checks what section 4.1 has a client check of the answer to `key`.
    pub fn opens(&self, key: &str) -> Outcome {
        let fault = if !self.start().starts_with("HTTP/1.1 101 ") {
            self.start()
        } else if !self.header("upgrade").is_some_and(|v| v.eq_ignore_ascii_case("websocket")) {
            "101 without Upgrade: websocket"
        } else if !self.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("upgrade")) {
            "101 without Connection: Upgrade"
        } else if self.header("sec-websocket-accept") != Some(&accept(key)) {
            "wrong Sec-WebSocket-Accept"
        } else {
            return Ok(());
        };
        Err(format!("handshake refused: {fault}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn accept_is_the_example_of_rfc_6455() {
        assert_eq!(accept(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_head_is_taken_whole_and_what_follows_stays() {
        let whole = [response(KEY).as_bytes(), b"\x81\x00"].concat();
        for cut in 0..whole.len() - 2 {
            let mut bytes = whole[..cut].to_vec();
            assert!(Head::take(&mut bytes).unwrap().is_none());
        }
        let mut bytes = whole;
        let head = Head::take(&mut bytes).unwrap().unwrap();
        assert!(head.opens(KEY).is_ok());
        assert_eq!(bytes, b"\x81\x00");
    }

    #[test]
    fn an_answer_that_does_not_open_is_refused() {
        for (from, to) in [
            ("101 Switching Protocols", "502 Bad Gateway"),
            ("Upgrade: websocket", "Upgrade: h2c"),
            ("Connection: Upgrade", "Connection: close"),
            ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "AAAA"),
        ] {
            let mut bytes = response(KEY).replace(from, to).into_bytes();
            let head = Head::take(&mut bytes).unwrap().unwrap();
            assert!(head.opens(KEY).is_err(), "{to}");
        }
    }

    #[test]
    fn an_endless_head_is_refused() {
        assert!(Head::take(&mut vec![b'a'; MAX_HEAD + 1]).is_err());
    }
}
