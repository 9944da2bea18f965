//! Frames of RFC 6455 on their way through a tunnel: one `Tracker` for each direction.
//!
//! The rules are those of `frames.py`, and one table of cases holds both to them:
//!
//! - What goes out is what came in, but for three things: control frames of the sidecar's own go
//!   in between two frames; pongs that answer its pings are taken out; and after its Close, or from
//!   a message beyond the limit on, nothing more goes out.
//! - Control frames (at most 131 bytes) and the heads of data frames are held back until they are
//!   whole. So what was let out always ends between two frames or in the payload of a data frame,
//!   and a message is known to be too large before a byte of the frame that makes it so was let
//!   out.
//! - Payloads are never kept.
//! - A stream that cannot be parsed goes through unchanged from there on, and so does what follows
//!   a Close; nothing is put in any more. Where messages have a limit neither goes out, as either
//!   could carry a message of any size.

use crate::frames::{CLOSE, FIN, MASK, PING, PONG, SHORT, masked};

/// Set on the first frame of a compressed message (RFC 7692 section 6).
const RSV1: u8 = 0x40;
const LENGTH_16: usize = 126;
const KEY: usize = 4;

/// Payload of a frame that is large.
const LARGE: u64 = 64 * 1024;

/// What holds for one direction.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// The client sends it (RFC 6455 section 5.1).
    pub masked: bool,
    /// Most payload bytes, as on the wire, in one message.
    pub max_message: Option<u64>,
    /// Payload of the sidecar's own pings: pongs that carry it are taken out.
    pub own_ping: Option<&'a [u8]>,
}

/// What a Close frame says; no code when the frame has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    pub code: Option<u16>,
    pub reason: Vec<u8>,
}

/// What one piece of a stream was.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Data messages whose last frame has begun in it.
    pub messages: u64,
    /// Bytes of data frames, heads included.
    pub data_bytes: u64,
    /// Whether anything of it went out.
    pub out: bool,
    /// Whether a pong to one of the sidecar's own pings was in it.
    pub ponged: bool,
}

/// What only a few trackers hold, and none for long.
#[derive(Debug, Default, PartialEq, Eq)]
struct Extra {
    /// A control frame or a head that is not whole.
    held: Vec<u8>,
    /// The own Close, to be put in at the end of the current frame.
    pending: Vec<u8>,
    /// Payload so far of a message whose last frame is to come, where messages have a limit.
    message: u64,
    close: Option<Close>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Tracker {
    /// Bytes of the current data frame that are still to come, its key included.
    left: u64,
    extra: Option<Box<Extra>>,
    in_message: bool,
    /// The last data frame is.
    large: bool,
    parsing: bool,
    passing: bool,
    /// Nothing may be put in any more.
    shut: bool,
    broken: bool,
    too_big: bool,
}

enum Verdict {
    /// Too little has come to decide.
    Hold,
    Pass(usize),
    Drop(usize),
    /// What follows so many bytes is not parsed.
    Last(usize),
}

impl Default for Tracker {
    fn default() -> Self {
        Self {
            left: 0,
            extra: None,
            in_message: false,
            large: false,
            parsing: true,
            passing: true,
            shut: false,
            broken: false,
            too_big: false,
        }
    }
}

impl Tracker {
    /// It cannot be parsed as frames.
    pub fn broken(&self) -> bool {
        self.broken
    }

    /// A message went beyond the limit; neither it nor what follows goes out.
    pub fn too_big(&self) -> bool {
        self.too_big
    }

    /// Whether nothing more of it goes out but a Close of the sidecar's own.
    pub fn muted(&self) -> bool {
        !self.passing
    }

    /// The Close that came.
    pub fn close(&self) -> Option<&Close> {
        self.extra.as_ref()?.close.as_ref()
    }

    /// Whether what was let out ends between two frames.
    pub fn at_boundary(&self) -> bool {
        self.left == 0 || !self.passing
    }

    /// Whether the last data frame was a large one, as the next may be.
    pub fn large(&self) -> bool {
        self.large
    }

    /// Bytes to come that go out whatever they are, with nothing put in before or behind them.
    pub fn unseen(&self) -> u64 {
        let pending = self.extra.as_ref().is_some_and(|extra| !extra.pending.is_empty());
        if self.passing && !pending { self.left } else { 0 }
    }

    /// As `feed`, for so many of the `unseen` bytes.
    pub fn skip(&mut self, size: u64) -> Fed {
        self.left -= size;
        Fed { data_bytes: size, out: true, ..Fed::default() }
    }

    /// Gives to `out` what goes out now that `data` has come.
    pub fn feed(&mut self, data: &[u8], rules: Rules, mut out: impl FnMut(&[u8])) -> Fed {
        let mut fed = Fed::default();
        let mut out = |part: &[u8]| {
            if !part.is_empty() {
                fed.out = true;
                out(part);
            }
        };
        if !self.parsing {
            if self.passing {
                out(data);
            }
            return fed;
        }
        let mut scan = Scan { rules, messages: 0, data_bytes: 0, ponged: false };
        match self.extra.as_mut().map(|extra| std::mem::take(&mut extra.held)) {
            Some(held) if !held.is_empty() => {
                scan.run(self, &[&held, data].concat(), &mut out);
            }
            _ => scan.run(self, data, &mut out),
        }
        self.tidy();
        fed.messages = scan.messages;
        fed.data_bytes = scan.data_bytes;
        fed.ponged = scan.ponged;
        fed
    }

    /// Whether `frame`, a control frame of the sidecar's own to this receiver, is to be written now.
    ///
    /// Within a data frame it is not: a Close comes out of `feed` at that frame's end, any other
    /// frame is dropped. So is each one after a Close, be it the sidecar's or one that passed, and
    /// in a broken stream.
    pub fn insert(&mut self, frame: &[u8]) -> bool {
        if self.shut {
            return false;
        }
        let now = self.at_boundary();
        if frame[0] == CLOSE {
            self.shut = true;
            if now {
                self.passing = false;
            } else {
                self.extra().pending = frame.to_vec();
            }
        }
        now
    }

    /// What was held back of a frame that the end of the stream has cut off.
    pub fn flush(&mut self) -> Vec<u8> {
        let held = self.extra.as_mut().map(|extra| std::mem::take(&mut extra.held));
        self.tidy();
        if !self.passing {
            return Vec::new();
        }
        let held = held.unwrap_or_default();
        self.shut |= !held.is_empty();
        held
    }

    fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    fn tidy(&mut self) {
        if self.extra.as_deref().is_some_and(|extra| *extra == Extra::default()) {
            self.extra = None;
        }
    }

    fn take_pending(&mut self) -> Option<Vec<u8>> {
        let pending = std::mem::take(&mut self.extra.as_mut()?.pending);
        (!pending.is_empty()).then_some(pending)
    }
}

/// One pass over a piece of a stream.
struct Scan<'a> {
    rules: Rules<'a>,
    messages: u64,
    data_bytes: u64,
    ponged: bool,
}

impl Scan<'_> {
    fn run(&mut self, tracker: &mut Tracker, data: &[u8], out: &mut impl FnMut(&[u8])) {
        let end = data.len();
        let mut at = 0;
        let mut start = if tracker.passing { 0 } else { end }; // data[start..at] is to go out
        loop {
            at += self.skip_payload(tracker, end - at);
            if tracker.left > 0 {
                break;
            }
            if let Some(pending) = tracker.take_pending() {
                out(&data[start..at]);
                out(&pending);
                tracker.passing = false;
                start = end;
            }
            match self.judge(tracker, &data[at..]) {
                Verdict::Hold => {
                    if at < end {
                        tracker.extra().held = data[at..].to_vec();
                    }
                    break;
                }
                Verdict::Last(size) => {
                    tracker.parsing = false;
                    if self.rules.max_message.is_none() {
                        at = end;
                    } else {
                        at += size;
                        tracker.passing = false;
                    }
                    break;
                }
                Verdict::Drop(size) => {
                    if start < at {
                        out(&data[start..at]);
                    }
                    at += size;
                    start = if tracker.passing { at } else { end };
                }
                Verdict::Pass(size) => at += size,
            }
        }
        if start < at {
            out(&data[start..at]);
        }
    }

    fn skip_payload(&mut self, tracker: &mut Tracker, available: usize) -> usize {
        let size = tracker.left.min(available as u64);
        tracker.left -= size;
        self.data_bytes += size;
        size as usize
    }

    /// What to do with the frame that `data` begins with, and with how many bytes of it.
    fn judge(&mut self, tracker: &mut Tracker, data: &[u8]) -> Verdict {
        let [first, second, ..] = *data else { return Verdict::Hold };
        if (second & MASK != 0) == self.rules.masked {
            let opcode = if tracker.in_message { 0x00..=0x00 } else { 0x01..=0x02 };
            let flags = if tracker.in_message { FIN } else { FIN | RSV1 };
            if opcode.contains(&(first & !flags)) {
                return self.judge_data(tracker, data);
            }
            let short = usize::from(second & !MASK) <= SHORT;
            if short && matches!(first, CLOSE | PING | PONG) {
                return self.judge_control(tracker, data);
            }
        }
        self.stop(tracker)
    }

    fn stop(&self, tracker: &mut Tracker) -> Verdict {
        tracker.broken = true;
        tracker.shut |= tracker.passing && self.rules.max_message.is_none();
        Verdict::Last(0)
    }

    fn judge_data(&mut self, tracker: &mut Tracker, data: &[u8]) -> Verdict {
        let Some((head, length)) = data_head(data) else { return Verdict::Hold };
        let before = tracker.extra.as_ref().map_or(0, |extra| extra.message);
        let total = before.saturating_add(length);
        if self.rules.max_message.is_some_and(|most| total > most) {
            tracker.too_big = true;
            tracker.passing = false;
        } else if length >> 63 != 0 {
            return self.stop(tracker); // RFC 6455 section 5.2: the most significant bit is 0
        }
        tracker.in_message = data[0] & FIN == 0;
        if tracker.in_message && self.rules.max_message.is_some() {
            tracker.extra().message = total;
        } else if let Some(extra) = &mut tracker.extra {
            extra.message = 0;
        }
        tracker.left = length.saturating_add(self.key() as u64);
        tracker.large = length >= LARGE;
        self.messages += u64::from(!tracker.in_message);
        self.data_bytes += head as u64;
        if tracker.passing { Verdict::Pass(head) } else { Verdict::Drop(head) }
    }

    fn judge_control(&mut self, tracker: &mut Tracker, data: &[u8]) -> Verdict {
        let body = 2 + self.key();
        let end = body + usize::from(data[1] & !MASK);
        let Some(frame) = data.get(..end) else { return Verdict::Hold };
        if frame[0] == PING {
            return Verdict::Pass(end);
        }
        let payload = match self.rules.masked {
            true => &masked(&frame[body..], &frame[2..body]),
            false => &frame[body..],
        };
        if frame[0] == CLOSE {
            let (code, reason) = match payload.split_first_chunk() {
                Some((code, reason)) => (Some(u16::from_be_bytes(*code)), reason.to_vec()),
                None => (None, Vec::new()),
            };
            tracker.extra().close = Some(Close { code, reason });
            tracker.shut |= tracker.passing;
            return Verdict::Last(end);
        }
        if self.rules.own_ping != Some(payload) {
            return Verdict::Pass(end);
        }
        self.ponged = true;
        Verdict::Drop(end)
    }

    fn key(&self) -> usize {
        if self.rules.masked { KEY } else { 0 }
    }
}

/// Size of a data frame's head without its key, and the length of its payload.
fn data_head(data: &[u8]) -> Option<(usize, u64)> {
    let short = usize::from(data[1] & !MASK);
    if short <= SHORT {
        return Some((2, short as u64));
    }
    let size = if short == LENGTH_16 { 4 } else { 10 };
    let digits = data.get(2..size)?;
    Some((size, digits.iter().fold(0, |length, digit| length << 8 | u64::from(*digit))))
}
