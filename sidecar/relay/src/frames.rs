//! Control frames of the sidecar's own (RFC 6455 section 5.5).

use crate::sys;

pub const FIN: u8 = 0x80;
pub const CLOSE: u8 = 0x08 | FIN;
pub const PING: u8 = 0x09 | FIN;
pub const PONG: u8 = 0x0A | FIN;

/// In the second byte: the payload is masked.
pub const MASK: u8 = 0x80;

/// The longest payload of a control frame, and with a length of 7 bits.
pub const SHORT: usize = 125;

/// Whether `code` may stand in a Close (RFC 6455 section 7.4 and IANA's registry).
pub fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A Close frame, its `reason` cut to what fits.
pub fn close_frame(code: u16, reason: &str, mask: bool) -> Vec<u8> {
    let fits = |end: &usize| *end <= SHORT - 2 && reason.is_char_boundary(*end);
    let end = (0..=reason.len()).rev().find(fits).unwrap_or(0);
    let payload = [&code.to_be_bytes(), &reason.as_bytes()[..end]].concat();
    frame(CLOSE, &payload, mask)
}

/// A Ping frame.
pub fn ping_frame(payload: &[u8], mask: bool) -> Vec<u8> {
    frame(PING, payload, mask)
}

pub fn frame(first: u8, payload: &[u8], mask: bool) -> Vec<u8> {
    let mut frame = vec![first, payload.len() as u8];
    if mask {
        let key: [u8; 4] = sys::random();
        frame[1] |= MASK;
        frame.extend(key);
        frame.extend(masked(payload, &key));
    } else {
        frame.extend(payload);
    }
    frame
}

/// `payload`, masked or unmasked with `key` (RFC 6455 section 5.3).
pub fn masked(payload: &[u8], key: &[u8]) -> Vec<u8> {
    payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_carries_code_and_reason() {
        assert_eq!(close_frame(1001, "bye", false), b"\x88\x05\x03\xe9bye");
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut_between_two_letters() {
        let frame = close_frame(1001, &"é".repeat(62), false);
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(str::from_utf8(&frame[4..]).is_ok());
    }

    #[test]
    fn a_masked_frame_can_be_unmasked_and_has_a_key_of_its_own() {
        let (one, two) = (ping_frame(b"12345678", true), ping_frame(b"12345678", true));
        assert_eq!(one[..2], [PING, MASK | 8]);
        assert_eq!(masked(&one[6..], &one[2..6]), b"12345678");
        assert_ne!(one[2..6], two[2..6]);
    }

    #[test]
    fn codes_that_are_never_sent_are_known() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            assert!(!is_sendable(code), "{code}");
        }
    }
}
