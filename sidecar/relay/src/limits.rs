//! What the clock asks of a tunnel: the rules of `lifetimes.py`.

use std::collections::HashSet;
use std::sync::Arc;

use crate::sys::{Micros, NEVER};

/// Microseconds that a peer has to answer a Close before it is cut (RFC 6455 section 7.1.1).
pub const CLOSE_TIMEOUT: Micros = 5_000_000;
/// Microseconds that one direction may go on after the other has ended.
pub const HALF_CLOSE_TIMEOUT: Micros = 30_000_000;
/// Microseconds without progress after which a peer that does not read is given up.
pub const STALL_TIMEOUT: Micros = 120_000_000;

/// How long a tunnel may live, its age apart; `NEVER` is no limit.
#[derive(PartialEq, Eq, Hash)]
pub struct Limits {
    pub idle: Micros,
    pub ping_interval: Micros,
    pub pong_timeout: Micros,
    pub max_message: Option<u64>,
    pub idle_data_only: bool,
}

/// The times that matter.
pub struct Moments {
    /// When it reaches its maximum age.
    pub expires: Micros,
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
        let Moments { expires, active, pinged, awaiting } = *moments;
        let waits = awaiting && self.pong_timeout != NEVER;
        let only = |wanted, from: Micros, limit| match wanted {
            true => from.saturating_add(limit),
            false => NEVER,
        };
        [
            (expires, Due::Age),
            (only(waits, pinged, self.pong_timeout), Due::Pong),
            (active.saturating_add(self.idle), Due::Idle),
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

/// Limits that are in use: equal ones are kept once, however many tunnels they hold for.
#[derive(Default)]
pub struct Known(HashSet<Arc<Limits>>);

impl Known {
    pub fn share(&mut self, limits: Limits) -> Arc<Limits> {
        if let Some(known) = self.0.get(&limits) {
            return Arc::clone(known);
        }
        self.0.retain(|known| Arc::strong_count(known) > 1);
        let limits = Arc::new(limits);
        self.0.insert(Arc::clone(&limits));
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(idle: Micros) -> Limits {
        Limits {
            idle,
            ping_interval: NEVER,
            pong_timeout: NEVER,
            max_message: None,
            idle_data_only: false,
        }
    }

    #[test]
    fn equal_limits_are_one_and_those_of_nobody_are_dropped() {
        let mut known = Known::default();
        let (one, other) = (known.share(idle(1)), known.share(idle(2)));
        assert!(Arc::ptr_eq(&one, &known.share(idle(1))));
        assert!(!Arc::ptr_eq(&one, &other));
        drop(other);
        let _third = known.share(idle(3));
        assert_eq!((known.0.len(), Arc::strong_count(&one)), (2, 2));
    }
}
