//! What the engine's thread and the interpreter share: commands one way, events the other.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::io::{Errno, Result};

use crate::call::Call;
use crate::limits::Limits;
use crate::sys::{Bell, Micros, Poll, Socket};

/// Names a call, and then its tunnel: a slot of the table, and above SLOT_BITS a number that no
/// other has, so that an event of one who is gone meets nobody.
pub type Token = u64;
pub const SLOT_BITS: u32 = 24;
pub const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
/// The engine's own bell.
pub const BELL: u64 = u64::MAX;

pub fn slot(token: Token) -> usize {
    (token & SLOT_MASK) as usize
}

/// The two ends of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Client,
    Backend,
}

pub const BOTH: [Who; 2] = [Who::Client, Who::Backend];

impl Who {
    pub fn other(self) -> Self {
        BOTH[1 - self as usize]
    }

    /// What the events of this end's socket carry.
    pub fn key(self, token: Token) -> u64 {
        token << 1 | self as u64
    }

    pub fn of(key: u64) -> (Token, Self) {
        (key >> 1, BOTH[(key & 1) as usize])
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
        }
    }
}

/// How a tunnel ended; the words are those of `relay_types.py`.
pub struct End {
    pub reason: String,
    pub initiator: &'static str,
    pub code: Option<u16>,
    pub detail: String,
}

/// What the interpreter asks for.
pub enum Command {
    /// Read the answer.
    Call(Box<Call>),
    /// The answer was an interim one; `rest` came behind it.
    Resume {
        token: Token,
        rest: Vec<u8>,
    },
    /// Close what was called.
    Cancel {
        token: Token,
    },
    /// Relay between the client's connection, unless the call has it, and what was called.
    Adopt(Option<Socket>, Box<Adoption>),
    End {
        token: Token,
        reason: String,
        code: u16,
        text: String,
    },
    Stop,
}

/// A tunnel begins.
pub struct Adoption {
    pub token: Token,
    pub limits: Arc<Limits>,
    pub max_age: Micros,
    pub counters: Arc<Counters>,
    /// The 101 that the client is still to get.
    pub rest: Vec<u8>,
    /// What each side has sent before.
    pub early: [Vec<u8>; 2],
}

/// What the interpreter is told.
pub enum Event {
    /// The call's answer, as far as it has come; `fd` stays open until the interpreter decides.
    Answered {
        token: Token,
        received: Vec<u8>,
        fd: RawFd,
    },
    Failed {
        token: Token,
        failure: Failure,
    },
    /// The answer was a plain 101; `Ended` follows in the end.
    Opened {
        token: Token,
        counters: Arc<Counters>,
        subprotocol: String,
    },
    Ponged {
        token: Token,
        who: Who,
        time: Micros,
    },
    Ended {
        token: Token,
        end: Box<End>,
    },
}

/// Why a call came to nothing.
pub enum Failure {
    Unreachable(Errno),
    /// It closed the connection without an answer.
    Closed,
    Late,
    /// The client did not wait for it.
    Left,
}

/// What a tunnel has done so far. Only the engine's thread writes.
pub struct Counters {
    pub opened: Micros,
    active: AtomicU64,
    received: [AtomicU64; 2],
    messages: [AtomicU64; 2],
    round_trip: [AtomicU32; 2],
}

const UNKNOWN: u32 = u32::MAX;

impl Counters {
    pub fn new(opened: Micros) -> Self {
        Self {
            opened,
            active: AtomicU64::new(opened),
            received: Default::default(),
            messages: Default::default(),
            round_trip: [const { AtomicU32::new(UNKNOWN) }; 2],
        }
    }

    pub fn active(&self) -> Micros {
        self.active.load(Relaxed)
    }

    pub fn set_active(&self, now: Micros) {
        self.active.store(now, Relaxed);
    }

    pub fn received(&self, who: Who) -> u64 {
        self.received[who as usize].load(Relaxed)
    }

    pub fn messages(&self, who: Who) -> u64 {
        self.messages[who as usize].load(Relaxed)
    }

    pub fn count(&self, who: Who, bytes: usize, messages: u64) {
        let (received, seen) = (&self.received[who as usize], &self.messages[who as usize]);
        received.store(received.load(Relaxed) + bytes as u64, Relaxed);
        if messages > 0 {
            seen.store(seen.load(Relaxed) + messages, Relaxed);
        }
    }

    pub fn round_trip(&self, who: Who) -> Option<u32> {
        let time = self.round_trip[who as usize].load(Relaxed);
        (time != UNKNOWN).then_some(time)
    }

    pub fn set_round_trip(&self, who: Who, time: Micros) {
        let time = time.min(u64::from(UNKNOWN - 1)) as u32;
        self.round_trip[who as usize].store(time, Relaxed);
    }
}

#[derive(Default)]
struct Inbox {
    commands: Vec<Command>,
    /// Until when the engine sleeps if nothing wakes it; 0 while it is awake.
    asleep_until: Micros,
}

/// The names of calls and tunnels.
#[derive(Default)]
struct Slots {
    free: Vec<u64>,
    used: u64,
    named: u64,
}

pub struct Shared {
    pub poll: Poll,
    bell: Bell,
    inbox: Mutex<Inbox>,
    events: Mutex<VecDeque<Event>>,
    slots: Mutex<Slots>,
    /// Rings while there are events.
    pub alarm: Bell,
}

impl Shared {
    pub fn new() -> Result<Self> {
        let (poll, bell) = (Poll::new()?, Bell::new()?);
        poll.add(&bell, BELL)?;
        let (inbox, events, slots) = Default::default();
        Ok(Self { poll, bell, inbox, events, slots, alarm: Bell::new()? })
    }

    /// A name that no call or tunnel has.
    pub fn name(&self) -> Token {
        let mut slots = lock(&self.slots);
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.used += 1;
            slots.used - 1
        });
        slots.named += 1;
        slots.named << SLOT_BITS | slot
    }

    /// Has the slot of `token` used again: its call is cancelled, or its end has been told.
    pub fn forget(&self, token: Token) {
        lock(&self.slots).free.push(token & SLOT_MASK);
    }

    /// Gives the engine a command that it must know of at `when`; 0 for at once.
    pub fn post(&self, command: Command, when: Micros) {
        self.deliver(lock(&self.inbox), command, when);
    }

    /// Has `watch` add the sockets of a command, and gives it to the engine.
    pub fn post_watched(
        &self,
        when: Micros,
        watch: impl FnOnce(&Poll) -> Result<Command>,
    ) -> Result<()> {
        // The engine takes the commands before it looks at an event, and waits for the lock there.
        let inbox = lock(&self.inbox);
        let command = watch(&self.poll)?;
        self.deliver(inbox, command, when);
        Ok(())
    }

    fn deliver(&self, mut inbox: MutexGuard<Inbox>, command: Command, when: Micros) {
        inbox.commands.push(command);
        if when < inbox.asleep_until {
            inbox.asleep_until = 0;
            drop(inbox); // who is woken wants it
            self.bell.ring(); // nobody silences it: its edges are what is watched
        }
    }

    /// The commands so far; where there are none, the engine may sleep until then.
    pub fn commands(&self, or_sleep_until: Micros) -> Vec<Command> {
        let mut inbox = lock(&self.inbox);
        inbox.asleep_until = if inbox.commands.is_empty() { or_sleep_until } else { 0 };
        std::mem::take(&mut inbox.commands)
    }

    /// Tells the interpreter of `events`, and empties them.
    pub fn tell(&self, told: &mut Vec<Event>) {
        if !told.is_empty() {
            let mut events = lock(&self.events);
            let first = events.is_empty();
            events.extend(told.drain(..));
            drop(events); // who is woken wants it
            if first {
                self.alarm.ring();
            }
        }
    }

    /// Up to `most` events; the alarm goes on while there are more.
    pub fn events(&self, most: usize) -> Vec<Event> {
        let mut events = lock(&self.events);
        let most = most.min(events.len());
        let taken = events.drain(..most).collect();
        if events.is_empty() {
            self.alarm.silence();
        }
        taken
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a panic of the engine's thread ends the process")
}
