//! What the interpreter is told, and when.

use crate::shared::{Event, Shared};
use crate::sys::{Micros, NEVER};

/// Microseconds that what nobody waits for may take: each time that the interpreter is woken costs
/// as much as several events.
const PATIENCE: Micros = 2_000;

/// Events that are still to be told.
#[derive(Default)]
pub struct Told {
    events: Vec<Event>,
    /// When the first of them came, and whether somebody waits for one.
    since: Micros,
    awaited: bool,
}

impl Told {
    /// Tells of `event`, which has come `now`.
    pub fn push(&mut self, event: Event, now: Micros) {
        if self.events.is_empty() {
            self.since = now;
        }
        self.awaited |= matches!(event, Event::Answered { .. } | Event::Failed { .. });
        self.events.push(event);
    }

    /// When `deliver` is to be called.
    pub fn due(&self) -> Micros {
        match self.events.is_empty() {
            true => NEVER,
            false if self.awaited => 0,
            false => self.since + PATIENCE,
        }
    }

    /// Wakes the interpreter for what there is.
    pub fn deliver(&mut self, shared: &Shared) {
        self.awaited = false;
        shared.tell(&mut self.events);
    }

    #[cfg(test)]
    pub fn drain(&mut self) -> impl Iterator<Item = Event> {
        self.events.drain(..)
    }
}
