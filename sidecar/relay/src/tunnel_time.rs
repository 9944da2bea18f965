//! What the clock does to a tunnel: the cases of `time_cases.json`, at times that are made up.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::call::{Call, Client};
use crate::context::Context;
use crate::frames::{CLOSE, FIN, MASK, PING, PONG, frame, masked};
use crate::limits::Limits;
use crate::shared::{Adoption, BOTH, Counters, End, Event, Shared, Token, Who, slot};
use crate::sys::{Micros, NEVER, Ready, Socket};
use crate::tunnel::{Left, Tunnel};

const SECOND: Micros = 1_000_000;
/// By which a deadline may be missed, and those before it that it follows.
const LATE: Micros = SECOND / 4;
const START: Micros = 1000 * SECOND;
const TOKEN: Token = 1 << 24;

const NAMES: [(u8, &str); 4] =
    [(0x01 | FIN, "text"), (CLOSE, "close"), (PING, "ping"), (PONG, "pong")];

/// A tunnel between two sockets of the test's.
struct Rig {
    context: Context,
    tunnel: Option<Tunnel>,
    end: Option<Box<End>>,
    far: [Far; 2],
}

/// The other end of a socket.
struct Far {
    stream: UnixStream,
    who: Who,
    /// Payload of the sidecar's pings to it.
    own: Vec<u8>,
    stalled: bool,
    ended: bool,
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Far {
    fn sends(&mut self, what: &str) {
        let (name, payload) = what.split_once(' ').unwrap_or((what, ""));
        let data = match NAMES.into_iter().find(|(_, known)| *known == name) {
            None => unhex(what),
            Some((first, _)) => {
                let payload = match payload {
                    "own" => self.own.clone(),
                    code if first == CLOSE => code.parse::<u16>().unwrap().to_be_bytes().into(),
                    text => text.into(),
                };
                frame(first, &payload, self.who == Who::Client)
            }
        };
        self.stream.write_all(&data).unwrap();
    }

    /// What has come since the last look.
    fn gets(&mut self) -> Vec<String> {
        let mut data = Vec::new();
        let outcome = self.stream.read_to_end(&mut data);
        let mut seen = self.frames(&data).unwrap_or_else(|| vec![hex(&data)]);
        let over = outcome.map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |_| true);
        if over && !std::mem::replace(&mut self.ended, true) {
            seen.push("the end".to_owned());
        }
        seen
    }

    /// The frames of `data`, where it is made of whole ones.
    fn frames(&mut self, mut data: &[u8]) -> Option<Vec<String>> {
        let mut seen = Vec::new();
        while let [first, size, rest @ ..] = data {
            let (_, name) = NAMES.into_iter().find(|(known, _)| known == first)?;
            let (key, rest) = rest.split_at_checked(if size & MASK == 0 { 0 } else { 4 })?;
            let (payload, rest) = rest.split_at_checked((size & !MASK).into())?;
            let payload = if key.is_empty() { payload.to_vec() } else { masked(payload, key) };
            seen.push(format!("{name} {}", self.read(*first, payload)).trim_end().to_owned());
            data = rest;
        }
        data.is_empty().then_some(seen)
    }

    fn read(&mut self, first: u8, payload: Vec<u8>) -> String {
        if first == PING && payload.len() == 8 {
            self.own = payload.clone();
        }
        match (first, payload.as_slice()) {
            (CLOSE, [high, low, text @ ..]) => {
                format!("{} {}", u16::from_be_bytes([*high, *low]), str::from_utf8(text).unwrap())
            }
            (_, own) if own == self.own => "own".to_owned(),
            (_, text) => str::from_utf8(text).unwrap().to_owned(),
        }
    }
}

impl Rig {
    fn new(limits: Limits, max_age: Micros) -> Self {
        let mut context = Context::new(Arc::new(Shared::new().unwrap())).unwrap();
        context.now = START;
        let pairs = BOTH.map(|who| {
            let (near, stream) = UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            stream.set_nonblocking(true).unwrap();
            let near = Socket::take(near.into_raw_fd()).unwrap();
            context.shared.poll.add(&near, who.key(TOKEN)).unwrap();
            (near, Far { stream, who, own: Vec::new(), stalled: false, ended: false })
        });
        let [(client, at_client), (backend, at_backend)] = pairs;
        let counters = Arc::new(Counters::new(START));
        let (rest, early) = Default::default();
        let adoption =
            Adoption { token: TOKEN, limits: limits.into(), max_age, counters, rest, early };
        let client = Some(Client { socket: client, terms: None });
        let call = Call::new(TOKEN, backend, Vec::new(), NEVER, client);
        let tunnel = Tunnel::new(adoption, call, &mut context);
        let mut rig =
            Self { context, tunnel: Some(tunnel), end: None, far: [at_client, at_backend] };
        rig.work();
        rig
    }

    fn work(&mut self) {
        let Some(tunnel) = &mut self.tunnel else { return };
        while tunnel.work(&mut self.context) == Left::More {}
        if tunnel.work(&mut self.context) == Left::Over {
            let tunnel = self.tunnel.take().unwrap();
            self.end = Some(tunnel.into_end(&mut self.context));
        }
    }

    /// Lets time pass, from one deadline to the next.
    fn until(&mut self, moment: Micros) {
        while self.context.timers.next() <= moment {
            self.context.now = self.context.timers.next();
            assert_eq!(self.context.timers.due(self.context.now), Some(slot(TOKEN)));
            if let Some(tunnel) = &mut self.tunnel {
                tunnel.due(&mut self.context);
            }
            self.work();
        }
        self.context.now = moment;
    }

    fn happens(&mut self, who: Who, writable: bool) {
        let event = Ready { key: who.key(TOKEN), readable: true, writable, ended: true };
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.ready(who, event);
        }
        self.work();
    }

    /// Whether this is to be done, and not seen.
    fn does(&mut self, step: &str) -> bool {
        let words: Vec<_> = step.splitn(3, ' ').collect();
        let &[name, verb, what] = &words[..] else { return false };
        let who = if name == "backend" { Who::Backend } else { Who::Client };
        let far = &mut self.far[who as usize];
        match (verb, what) {
            ("ends", _) => self.ends(what),
            ("sends", _) => far.sends(what),
            ("stops", "sending") => far.stream.shutdown(Shutdown::Write).unwrap(),
            ("stops", _) => self.stall(),
            ("reads", "all") => self.catch_up(),
            ("reads", _) => assert_ne!(far.stream.read(&mut [0; 1 << 16]).unwrap(), 0),
            _ => return false,
        }
        self.happens(who, verb == "reads");
        true
    }

    fn ends(&mut self, how: &str) {
        let words: Vec<_> = how.splitn(3, ' ').collect();
        let tunnel = self.tunnel.as_mut().unwrap();
        tunnel.end(words[0], words[1].parse().unwrap(), words[2], &mut self.context);
    }

    /// The backend sends more than the client takes: empty messages, so that each piece is whole.
    fn stall(&mut self) {
        self.far[0].stalled = true;
        while self.far[1].stream.write(&[0x82, 0].repeat(1 << 17)).is_ok() {
            self.happens(Who::Backend, false);
        }
    }

    fn catch_up(&mut self) {
        while self.far[0].stream.read(&mut [0; 1 << 16]).is_ok() {
            self.happens(Who::Client, true);
        }
        self.far[0].stalled = false;
    }

    /// What has become of it since the last look.
    fn seen(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        for far in self.far.iter_mut().filter(|far| !far.stalled) {
            seen.extend(far.gets().iter().map(|what| format!("{} gets {what}", far.who.name())));
        }
        for event in self.context.told.drain() {
            let Event::Ponged { who, .. } = event else { panic!("no other is told here") };
            seen.push(format!("{} answered", who.name()));
        }
        if let Some(End { reason, initiator, code, .. }) = self.end.take().as_deref() {
            let code = code.map_or("null".to_owned(), |code| code.to_string());
            seen.push(format!("over {reason} {initiator} {code}"));
        }
        seen
    }
}

fn time(of: &Value, name: &str) -> Micros {
    of[name].as_u64().map_or(NEVER, |seconds| seconds * SECOND)
}

fn limits(of: &Value) -> Limits {
    Limits {
        idle: time(of, "idle"),
        ping_interval: time(of, "ping_interval"),
        pong_timeout: time(of, "pong_timeout"),
        max_message: None,
        idle_data_only: of["idle_data_only"] == true,
    }
}

#[test]
fn the_clock_does_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sidecar/time_cases.json");
    let table: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for case in table["cases"].as_array().unwrap() {
        println!("{}", case["name"]); // shown where it fails
        let mut rig = Rig::new(limits(&case["limits"]), time(&case["limits"], "max_age"));
        for step in case["steps"].as_array().unwrap() {
            let (moment, steps) = step.as_array().unwrap().split_first().unwrap();
            let moment = START + moment.as_u64().unwrap() * SECOND;
            rig.until(moment - 1);
            assert_eq!(rig.seen(), [""; 0]);
            rig.context.now = moment;
            let mut seen = Vec::new();
            for step in steps.iter().map(|step| step.as_str().unwrap()) {
                if rig.does(step) {
                    seen.push(step.to_owned());
                    seen.extend(rig.seen());
                }
            }
            rig.until(moment + LATE);
            seen.extend(rig.seen());
            assert_eq!(seen, *steps);
        }
    }
}

#[test]
fn the_rest_of_a_large_frame_goes_around_the_buffer() {
    const SIZE: usize = 1 << 16;
    let mut rig = Rig::new(limits(&Value::Null), NEVER);
    for sent in [&b"\x82\x7f\0\0\0\0\0\x01\0\0"[..], &[0x55; SIZE]] {
        rig.far[1].stream.write_all(sent).unwrap();
        rig.happens(Who::Backend, false);
    }
    let mut seen = Vec::new();
    rig.far[0].stream.read_to_end(&mut seen).unwrap_err();
    assert_eq!(seen[10..], [0x55; SIZE]);
    assert_eq!(rig.context.buffer.iter().filter(|byte| **byte == 0x55).count(), SIZE / 4);
}
