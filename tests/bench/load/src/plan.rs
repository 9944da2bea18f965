//! Where a run's tunnels lead, and what their messages carry.

use std::io;
use std::rc::Rc;

use crate::frame::{Mask, apply_mask};
use crate::sys::random;

/// Every message begins with its tunnel and its number, so that none passes for another.
const STAMP: usize = 8;

pub struct Plan {
    pub port: u16,
    pub mask: Mask,
    plain: Vec<u8>,
    /// What follows a message's stamp, masked.
    pub masked: Rc<Vec<u8>>,
}

impl Plan {
    /// Masks the payload once: a key for each frame would only cost the generator time.
    pub fn new(port: u16, size: usize) -> io::Result<Self> {
        let mask = random()?;
        let plain: Vec<u8> =
            (0..size.saturating_sub(STAMP)).map(|i| (i * 31 + i / 251) as u8).collect();
        let mut masked = plain.clone();
        apply_mask(&mut masked, mask, STAMP as u64);
        Ok(Self { port, mask, plain, masked: Rc::new(masked) })
    }

    /// The payload of a message, in bytes.
    pub fn size(&self) -> usize {
        STAMP + self.plain.len()
    }

    /// How message `number` of the tunnel `token` begins.
    pub fn stamp(&self, token: usize, number: u32) -> [u8; STAMP] {
        ((token as u64) << 32 | u64::from(number)).to_be_bytes()
    }

    /// Whether `data` is what the message stamped `stamp` has at `offset`.
    pub fn matches(&self, stamp: [u8; STAMP], offset: usize, data: &[u8]) -> bool {
        let (head, rest) = data.split_at(data.len().min(STAMP.saturating_sub(offset)));
        let body = offset.max(STAMP) - STAMP;
        (head.is_empty() || *head == stamp[offset..][..head.len()])
            && self.plain.get(body..body + rest.len()) == Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_matches_in_pieces_of_any_size_and_not_with_a_wrong_byte() {
        let plan = Plan::new(1, 100).unwrap();
        let stamp = plan.stamp(3, 7);
        let message = [&stamp[..], &plan.plain].concat();
        assert_eq!(message.len(), plan.size());
        for step in 1..=message.len() {
            for (piece, data) in message.chunks(step).enumerate() {
                assert!(plan.matches(stamp, piece * step, data), "{step} {piece}");
            }
        }
        for wrong in 0..message.len() {
            let mut message = message.clone();
            message[wrong] ^= 1;
            assert!(!plan.matches(stamp, 0, &message), "{wrong}");
        }
        assert!(!plan.matches(plan.stamp(3, 8), 0, &message));
    }
}
