//! The table that holds the tracker of `frames.py` and this one to the same rules.

use std::path::Path;

use serde_json::Value;
use wsroute_relay::tracker::{Close, Fed, Rules, Tracker};

struct Case(Value);

impl Case {
    fn bytes(&self, field: &str) -> Option<Vec<u8>> {
        self.0[field].as_str().map(unhex)
    }

    fn is(&self, field: &str, otherwise: bool) -> bool {
        self.0[field].as_bool().unwrap_or(otherwise)
    }

    fn number(&self, field: &str) -> Option<u64> {
        self.0[field].as_u64()
    }

    fn inserts(&self) -> Vec<(usize, Vec<u8>)> {
        let inserts = self.0["insert"].as_array().map(Vec::as_slice).unwrap_or_default();
        let insert =
            |one: &Value| (one[0].as_u64().unwrap() as usize, unhex(one[1].as_str().unwrap()));
        inserts.iter().map(insert).collect()
    }

    fn close(&self) -> Option<Close> {
        let close = self.0["close"].as_array()?;
        let code = close[0].as_u64().map(|code| code as u16);
        Some(Close { code, reason: unhex(close[1].as_str().unwrap()) })
    }

    /// Feeds the input, cut at `cuts`, and holds all that the case says of it.
    fn check(&self, input: &[u8], cuts: &[usize]) {
        let own_ping = self.bytes("pong");
        let rules = Rules {
            masked: self.is("masked", false),
            max_message: self.number("limit"),
            own_ping: own_ping.as_deref(),
        };
        let held = self.bytes("held").unwrap_or_default();
        let passed = || input[..input.len() - held.len()].to_vec();
        let expected = self.bytes("output").unwrap_or_else(passed);

        let mut tracker = Tracker::default();
        let (out, fed) = feed(&mut tracker, input, cuts, &self.inserts(), rules);
        assert_eq!(out, expected);
        assert_eq!(tracker.at_boundary(), self.is("boundary", true));
        assert_eq!(tracker.broken(), self.is("broken", false));
        assert_eq!(tracker.too_big(), self.is("too_big", false));
        assert_eq!(tracker.close(), self.close().as_ref());
        assert_eq!(fed.ponged, self.is("answered", false));
        let counted = (Some(fed.messages), Some(fed.data_bytes));
        assert_eq!(counted, (self.number("messages"), self.number("data_bytes")));
        assert_eq!(tracker.flush(), held);
    }
}

fn feed(
    tracker: &mut Tracker,
    data: &[u8],
    cuts: &[usize],
    inserts: &[(usize, Vec<u8>)],
    rules: Rules,
) -> (Vec<u8>, Fed) {
    let offsets = inserts.iter().map(|(offset, _)| *offset);
    let mut ends: Vec<_> = cuts.iter().copied().chain(offsets).chain([0, data.len()]).collect();
    ends.sort_unstable();
    ends.dedup();
    let (mut out, mut sum, mut start) = (Vec::new(), Fed::default(), 0);
    for end in ends {
        let fed = tracker.feed(&data[start..end], rules, |part| out.extend(part));
        sum.messages += fed.messages;
        sum.data_bytes += fed.data_bytes;
        sum.ponged |= fed.ponged;
        for (_, frame) in inserts.iter().filter(|(offset, _)| *offset == end) {
            if tracker.insert(frame) {
                out.extend(frame);
            }
        }
        start = end;
    }
    (out, sum)
}

/// The bytes of a case's text, in which `61*126` repeats a byte.
fn unhex(text: &str) -> Vec<u8> {
    let word = |word: &str| {
        let (digits, times) = word.split_once('*').unwrap_or((word, "1"));
        let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
        let bytes: Vec<_> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        bytes.repeat(times.parse().unwrap())
    };
    text.split_whitespace().flat_map(word).collect()
}

#[test]
fn each_case_holds_however_its_input_is_cut() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sidecar/frame_cases.json");
    let table: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = table["cases"].as_array().unwrap();
    assert!(cases.len() > 100);
    for case in cases {
        println!("{}", case["name"]); // shown where it fails
        let case = Case(case.clone());
        let input = case.bytes("input").unwrap();
        let size = input.len();
        case.check(&input, &[]);
        case.check(&input, &(0..size).collect::<Vec<_>>());
        for cut in 0..size.min(200) {
            case.check(&input, &[cut]);
        }
    }
}
