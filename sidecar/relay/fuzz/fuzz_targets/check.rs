//! What holds for every stream, however it is cut.

use wsroute_relay::tracker::{Fed, Rules, Tracker};

const OWN_PING: &[u8] = b"\x89\x02hi";
const OWN_CLOSE: &[u8] = b"\x88\x02\x03\xe9";

/// Most bytes that are held back: a masked control frame less its last byte.
const HELD: usize = 130;

/// Panics where a tracker mishandles the stream `data`.
pub fn stream(data: &[u8]) {
    for masked in [false, true] {
        for max_message in [None, Some(3), Some(130)] {
            let rules = Rules { masked, max_message, own_ping: Some(b"x") };
            let whole = run(data, data.len().max(1), rules, false);
            for (step, skipping) in [(7, false), (1, false), (7, true), (1, true)] {
                assert_eq!(run(data, step, rules, skipping), whole);
            }
        }
        passes(data, Rules { masked, max_message: None, own_ping: None });
    }
}

/// What becomes of `data`, cut in pieces of `step`, with a ping and a Close put in.
///
/// Where it is `skipping`, the tracker is shown nothing that may pass unseen.
fn run(data: &[u8], step: usize, rules: Rules, skipping: bool) -> (Vec<u8>, Tracker, Fed) {
    let mut tracker = Tracker::default();
    let (mut out, mut sum) = (Vec::new(), Fed::default());
    let (ping_at, close_at) = (data.len() / 3, data.len() / 2);
    let mut start = 0;
    for end in (0..=data.len())
        .filter(|end| end % step == 0 || [ping_at, close_at, data.len()].contains(end))
    {
        if skipping {
            let unseen = tracker.unseen().min((end - start) as u64);
            let (skipped, rest) = data[start..].split_at(unseen as usize);
            out.extend(skipped);
            sum.data_bytes += tracker.skip(unseen).data_bytes;
            start = data.len() - rest.len();
        }
        if start < end {
            let fed = tracker.feed(&data[start..end], rules, |part| out.extend(part));
            sum.messages += fed.messages;
            sum.data_bytes += fed.data_bytes;
            sum.ponged |= fed.ponged;
        }
        for (at, frame) in [(ping_at, OWN_PING), (close_at, OWN_CLOSE)] {
            if at == end && tracker.insert(frame) {
                out.extend(frame);
            }
        }
        start = end;
    }
    (out, tracker, sum)
}

/// With nothing put in, everything goes through, and next to nothing is held back.
fn passes(data: &[u8], rules: Rules) {
    let (mut tracker, mut out) = (Tracker::default(), Vec::new());
    for (come, byte) in data.iter().enumerate() {
        tracker.feed(&[*byte], rules, |part| out.extend(part));
        assert!(data.starts_with(&out));
        assert!(come + 1 - out.len() <= HELD);
    }
    out.extend(tracker.flush());
    assert_eq!(out, data);
}
