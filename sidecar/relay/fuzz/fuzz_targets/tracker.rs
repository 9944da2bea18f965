//! Fuzzes the frame tracker: `cargo +nightly fuzz run tracker`. What fails belongs into the table
//! of cases.

#![no_main]

mod check;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| check::stream(data));
