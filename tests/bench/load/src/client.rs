//! The load: opens tunnels and drives them all from one event loop.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::sys::{Epoll, Interest, Ticker};
use crate::tunnel::{Event, Tunnel};

const BUFFER: usize = 256 * 1024;
/// How many tunnels are being opened at a time.
const PARALLEL: usize = 16;
const TICKER: usize = usize::MAX;
/// How long nothing may come while something is due.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client sends at a fixed rate.
#[derive(Clone, Copy)]
pub enum Beat {
    Message,
    Ping,
}

pub struct Client {
    plan: Rc<Plan>,
    epoll: Epoll,
    tunnels: BTreeMap<usize, Tunnel>,
    next_token: usize,
    buffer: Vec<u8>,
    ready: Vec<usize>,
    /// From the time that a message was due to its echo, in nanoseconds.
    pub latency: Histogram,
    pub messages: u64,
    pub pongs: u64,
}

impl Client {
    pub fn new(plan: Plan) -> Outcome<Self> {
        Ok(Self {
            plan: Rc::new(plan),
            epoll: Epoll::new()?,
            tunnels: BTreeMap::new(),
            next_token: 0,
            buffer: vec![0; BUFFER],
            ready: vec![],
            latency: Histogram::new(),
            messages: 0,
            pongs: 0,
        })
    }

    /// Forgets what was counted so far.
    pub fn reset(&mut self) {
        (self.latency, self.messages, self.pongs) = (Histogram::new(), 0, 0);
    }

    /// Opens `count` tunnels and has each echo one message; they stay open.
    pub fn open(&mut self, count: usize) -> Outcome {
        self.visit(count, true)
    }

    /// Opens `count` tunnels, has each echo one message and closes it.
    pub fn open_and_close(&mut self, count: usize) -> Outcome {
        self.visit(count, false)
    }

    fn visit(&mut self, count: usize, stay: bool) -> Outcome {
        let (mut started, mut done) = (0, 0);
        while done < count {
            while started < count && started - done < PARALLEL {
                self.connect().map_err(|error| format!("connect: {error}"))?;
                started += 1;
            }
            for (token, event) in self.step(PATIENCE)? {
                match event {
                    Event::Opened => self.send(token, Instant::now())?,
                    Event::Echoed(_) if stay => done += 1,
                    Event::Echoed(_) => self.with(token, Tunnel::close)?,
                    Event::Ended => {
                        self.tunnels.remove(&token);
                        done += 1;
                    }
                    Event::Pong => {}
                }
            }
        }
        Ok(())
    }

    /// Closed loop: on every tunnel, an echo is answered with the next message.
    pub fn saturate(&mut self, time: Duration) -> Outcome {
        let end = Instant::now() + time;
        for token in self.tokens() {
            self.send(token, Instant::now())?;
        }
        let mut busy = self.tunnels.len();
        while busy > 0 {
            for (token, event) in self.step(PATIENCE)? {
                let now = Instant::now();
                match event {
                    Event::Echoed(_) if now < end => self.send(token, now)?,
                    Event::Echoed(_) => busy -= 1,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Open loop: `count` beats, one every `interval`, round robin over the tunnels. A late echo
    /// delays nothing, and waiting for a socket counts, because latency runs from the time due.
    pub fn beat(&mut self, beat: Beat, count: u64, interval: Duration) -> Outcome {
        let tokens = self.tokens();
        let mut turns = tokens.iter().cycle();
        let (mut sent, mut answered) = (0, 0);
        let start = Instant::now();
        let ticker = Ticker::new(interval)?;
        self.epoll.add(&ticker, TICKER, Interest::Read)?;
        while sent < count {
            answered += self.step(interval + PATIENCE)?.len() as u64;
            let due = ticker.ticks()?.min(count - sent);
            for (token, number) in turns.by_ref().zip(sent..sent + due) {
                let due = start + interval.mul_f64((number + 1) as f64);
                match beat {
                    Beat::Message => self.send(*token, due)?,
                    Beat::Ping => self.with(*token, Tunnel::ping)?,
                }
            }
            sent += due;
        }
        drop(ticker);
        while answered < count {
            answered += self.step(PATIENCE)?.len() as u64;
        }
        Ok(())
    }

    /// Only answers pings, for so long.
    pub fn rest(&mut self, time: Duration) -> Outcome {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.poll(left)?;
        }
        Ok(())
    }

    fn tokens(&self) -> Vec<usize> {
        self.tunnels.keys().copied().collect()
    }

    fn connect(&mut self) -> Outcome {
        let token = self.next_token;
        self.tunnels.insert(token, Tunnel::connect(Rc::clone(&self.plan), &self.epoll, token)?);
        self.next_token += 1;
        Ok(())
    }

    fn send(&mut self, token: usize, due: Instant) -> Outcome {
        self.with(token, |tunnel, epoll| tunnel.send(epoll, due))
    }

    fn with(&mut self, token: usize, act: impl FnOnce(&mut Tunnel, &Epoll) -> Outcome) -> Outcome {
        let tunnel = self.tunnels.get_mut(&token).expect("only live tunnels are driven");
        act(tunnel, &self.epoll).map_err(|error| format!("tunnel {token}: {error}").into())
    }

    /// As `poll`, where silence is an error.
    fn step(&mut self, patience: Duration) -> Outcome<Vec<(usize, Event)>> {
        let happened = self.poll(patience)?;
        if self.ready.is_empty() {
            Err(format!("silence for {patience:?}").into())
        } else {
            Ok(happened)
        }
    }

    /// Waits for tunnels to be readable, and reads them.
    fn poll(&mut self, timeout: Duration) -> Outcome<Vec<(usize, Event)>> {
        let Self { epoll, tunnels, buffer, ready, latency, messages, pongs, .. } = self;
        epoll.wait(Some(timeout), ready)?;
        let (mut happened, mut events) = (vec![], vec![]);
        for token in ready.iter() {
            let Some(tunnel) = tunnels.get_mut(token) else { continue };
            tunnel
                .advance(epoll, buffer, &mut events)
                .map_err(|error| format!("tunnel {token}: {error}"))?;
            let now = Instant::now();
            for event in events.drain(..) {
                match event {
                    Event::Echoed(due) => {
                        *messages += 1;
                        latency.record(now.duration_since(due).as_nanos() as u64);
                    }
                    Event::Pong => *pongs += 1,
                    Event::Opened | Event::Ended => {}
                }
                happened.push((*token, event));
            }
        }
        Ok(happened)
    }
}
