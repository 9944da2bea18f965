//! The framing of RFC 6455, section 5.2: heads out, and a decoder for bytes as they come.

use crate::outcome::Outcome;

pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

pub type Mask = [u8; 4];

/// What stands before a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    pub fin: bool,
    pub opcode: u8,
    pub length: u64,
    pub mask: Option<Mask>,
}

impl FrameHead {
    /// The head of a message in one frame.
    pub fn whole(opcode: u8, length: u64, mask: Option<Mask>) -> Self {
        Self { fin: true, opcode, length, mask }
    }

    /// Appends the head as the wire has it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        out.push(if self.fin { 0x80 } else { 0 } | self.opcode);
        match self.length {
            0..126 => out.push(masked | self.length as u8),
            126..0x1_0000 => {
                out.push(masked | 126);
                out.extend((self.length as u16).to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend(self.length.to_be_bytes());
            }
        }
        out.extend(self.mask.iter().flatten());
    }

    /// Reads the head that starts `bytes`: the head and its size, or nothing while it is cut off.
    fn read(bytes: &[u8]) -> Outcome<Option<(Self, usize)>> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err("reserved bit set".into());
        }
        let (wide, short) = match second & 0x7F {
            126 => (2, 0),
            127 => (8, 0),
            length => (0, u64::from(length)),
        };
        let masked = second & 0x80 != 0;
        let size = 2 + wide + if masked { 4 } else { 0 };
        if bytes.len() < size {
            return Ok(None);
        }
        let length = rest[..wide].iter().fold(short, |sum, byte| sum << 8 | u64::from(*byte));
        let mask = masked.then(|| rest[wide..wide + 4].try_into().expect("four bytes"));
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        Ok(Some((Self { fin, opcode, length, mask }, size)))
    }
}

/// XORs `bytes` with `mask`, where the first byte stands at `offset` of the payload.
pub fn apply_mask(bytes: &mut [u8], mask: Mask, offset: u64) {
    let mut turned = mask;
    turned.rotate_left((offset % 4) as usize);
    let key = u64::from(u32::from_ne_bytes(turned));
    let key = key << 32 | key;
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let plain = u64::from_ne_bytes((&*word).try_into().expect("eight bytes")) ^ key;
        word.copy_from_slice(&plain.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

/// A step of a stream of frames.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Head(FrameHead),
    /// Some of the payload, unmasked.
    Data(FrameHead, &'a [u8]),
    End(FrameHead),
}

/// Cuts a stream into frames; holds at most a head.
#[derive(Default)]
pub struct Decoder {
    cut_head: Vec<u8>,
    current: Option<(FrameHead, u64)>,
}

impl Decoder {
    /// Takes the next `bytes` of the stream and hands on every part that they complete.
    pub fn feed(&mut self, mut bytes: &mut [u8], mut sink: impl FnMut(Part) -> Outcome) -> Outcome {
        loop {
            let (head, done) = match self.current.take() {
                Some(current) => current,
                None => {
                    let Some(head) = self.read_head(&mut bytes)? else { return Ok(()) };
                    sink(Part::Head(head))?;
                    (head, 0)
                }
            };
            let size = (head.length - done).min(bytes.len() as u64) as usize;
            let (data, rest) = std::mem::take(&mut bytes).split_at_mut(size);
            bytes = rest;
            if let Some(mask) = head.mask {
                apply_mask(data, mask, done);
            }
            if !data.is_empty() {
                sink(Part::Data(head, data))?;
            }
            if done + size as u64 == head.length {
                sink(Part::End(head))?;
            } else {
                self.current = Some((head, done + size as u64));
                return Ok(());
            }
        }
    }

    /// Reads a head off the front of `bytes`, which may begin in the middle of one.
    fn read_head(&mut self, bytes: &mut &mut [u8]) -> Outcome<Option<FrameHead>> {
        let before = self.cut_head.len();
        let look = bytes.len().min(14 - before);
        self.cut_head.extend_from_slice(&bytes[..look]);
        let Some((head, size)) = FrameHead::read(&self.cut_head)? else { return Ok(None) };
        self.cut_head.clear();
        *bytes = &mut std::mem::take(bytes)[size - before..];
        Ok(Some(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The frames of `wire`, fed in pieces of `step` bytes: heads with their payloads.
    fn decode(wire: &[u8], step: usize) -> Outcome<Vec<(FrameHead, Vec<u8>)>> {
        let (mut decoder, mut frames, mut payload) = (Decoder::default(), vec![], vec![]);
        for piece in wire.to_vec().chunks_mut(step) {
            decoder.feed(piece, |part| {
                match part {
                    Part::Head(_) => {}
                    Part::Data(_, data) => payload.extend_from_slice(data),
                    Part::End(head) => frames.push((head, std::mem::take(&mut payload))),
                }
                Ok(())
            })?;
        }
        Ok(frames)
    }

    fn encode(head: FrameHead, payload: &[u8]) -> Vec<u8> {
        let mut wire = vec![];
        head.write(&mut wire);
        let start = wire.len();
        wire.extend_from_slice(payload);
        if let Some(mask) = head.mask {
            apply_mask(&mut wire[start..], mask, 0);
        }
        wire
    }

    #[test]
    fn a_frame_of_rfc_6455_is_read() {
        let wire = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let frames = decode(&wire, wire.len()).unwrap();
        assert_eq!(frames[0].1, b"Hello");
        assert_eq!(frames[0].0.opcode, 1);
    }

    #[test]
    fn frames_of_every_length_come_through_whole_and_byte_by_byte() {
        let mut wire = vec![];
        let mut expected = vec![];
        for length in [0, 1, 7, 125, 126, 127, 65_535, 65_536] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
                let head = FrameHead::whole(BINARY, length, mask);
                wire.extend(encode(head, &payload));
                expected.push((head, payload));
            }
        }
        for step in [1, 2, 3, 13, 4096, wire.len()] {
            assert_eq!(decode(&wire, step).unwrap(), expected, "in steps of {step}");
        }
    }

    #[test]
    fn a_fragment_keeps_its_fin_and_opcode() {
        let head = FrameHead { fin: false, opcode: BINARY, length: 2, mask: None };
        assert_eq!(decode(&encode(head, b"ab"), 1).unwrap(), [(head, b"ab".to_vec())]);
    }

    #[test]
    fn a_reserved_bit_is_refused() {
        assert!(decode(&[0xC1, 0x00], 2).is_err());
    }
}
