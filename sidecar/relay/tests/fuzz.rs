//! A short run of what `fuzz` does for long, repeatable and without its tools.

#[path = "../fuzz/fuzz_targets/check.rs"]
mod check;

/// First and second bytes of heads, and of lengths.
const TELLING: &[u8] = b"\x00\x01\x02\x41\x7d\x7e\x7f\x80\x81\x82\x88\x89\x8a\xc1\xfd\xfe\xff";

const STREAMS: usize = 2000;

/// xorshift64*: to be repeated, not secret.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }

    fn byte(&mut self) -> u8 {
        match self.below(3) {
            0 => self.below(256) as u8,
            _ => TELLING[self.below(TELLING.len())],
        }
    }
}

#[test]
fn random_streams_are_handled_the_same_however_they_are_cut() {
    let mut chance = Chance(0x5EED);
    for _ in 0..STREAMS {
        let size = chance.below(80);
        let data: Vec<_> = (0..size).map(|_| chance.byte()).collect();
        println!("{data:02x?}"); // shown where it fails
        check::stream(&data);
    }
}
