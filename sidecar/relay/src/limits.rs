//! What the clock asks of a tunnel: the rules of `lifetimes.py`.

use crate::sys::{Micros, NEVER};

/// Microseconds that a peer has to answer a Close before it is cut (RFC 6455 section 7.1.1).
pub const CLOSE_TIMEOUT: Micros = 5_000_000;
/// Microseconds that one direction may go on after the other has ended.
pub const HALF_CLOSE_TIMEOUT: Micros = 30_000_000;
/// Microseconds without progress after which a peer that does not read is given up.
pub const STALL_TIMEOUT: Micros = 120_000_000;

/// How long a tunnel may live; `NEVER` is no limit.
#[derive(Clone)]
pub struct Limits {
    pub idle: Micros,
    pub max_age: Micros,
    pub ping_interval: Micros,
    pub pong_timeout: Micros,
    pub max_message: Option<u64>,
    pub idle_data_only: bool,
}

/// The times that matter.
pub struct Moments {
    pub opened: Micros,
    pub active: Micros,
    /// When the last ping was sent; at first, when the tunnel opened.
    pub pinged: Micros,
    /// Whether a pong is still to come.
    pub awaiting: bool,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Age,
    Pong,
    Idle,
    Ping,
}

impl Limits {
    /// All deadlines of the tunnel, those first that win when several are due.
    fn deadlines(&self, moments: &Moments) -> [(Micros, Due); 4] {
        let Moments { opened, active, pinged, awaiting } = *moments;
        let waits = awaiting && self.pong_timeout != NEVER;
        let only = |wanted, from: Micros, limit| match wanted {
            true => from.saturating_add(limit),
            false => NEVER,
        };
        [
            (only(true, opened, self.max_age), Due::Age),
            (only(waits, pinged, self.pong_timeout), Due::Pong),
            (only(true, active, self.idle), Due::Idle),
            (only(!waits, pinged, self.ping_interval), Due::Ping),
        ]
    }

    /// What is to be done at `now`, if anything.
    pub fn due(&self, moments: &Moments, now: Micros) -> Option<Due> {
        self.deadlines(moments).into_iter().find(|(when, _)| *when <= now).map(|(_, due)| due)
    }

    /// When to look again.
    pub fn next(&self, moments: &Moments) -> Micros {
        self.deadlines(moments).into_iter().map(|(when, _)| when).min().unwrap_or(NEVER)
    }
}
