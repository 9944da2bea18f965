//! What the interpreter is told, and when.

use crate::shared::{Event, Shared};
use crate::sys::{Micros, NEVER};

/// Microseconds from one time to the next for what nobody waits for: that the interpreter is woken
/// costs as much as several events. What comes alone is told at once.
const PATIENCE: Micros = 2_000;

/// Events that are still to be told.
#[derive(Default)]
pub struct Told {
    events: Vec<Event>,
    /// Whether somebody waits for one of them.
    awaited: bool,
    /// When others were delivered.
    delivered: Micros,
}

impl Told {
    /// Tells of `event`.
    pub fn push(&mut self, event: Event) {
        self.awaited |= matches!(event, Event::Answered { .. } | Event::Failed { .. });
        self.events.push(event);
    }

    /// When `deliver` is to be called.
    pub fn due(&self) -> Micros {
        match self.events.is_empty() {
            true => NEVER,
            false if self.awaited => 0,
            false => self.delivered + PATIENCE,
        }
    }

    /// Wakes the interpreter for what there is.
    pub fn deliver(&mut self, shared: &Shared, now: Micros) {
        self.awaited = false;
        self.delivered = now;
        shared.tell(&mut self.events);
    }

    #[cfg(test)]
    pub fn drain(&mut self) -> impl Iterator<Item = Event> {
        self.events.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Failure;

    #[test]
    fn what_comes_alone_is_due_at_once_and_what_follows_with_others_unless_somebody_waits() {
        let (mut told, shared) = (Told::default(), Shared::new().unwrap());
        let now = 10 * PATIENCE;
        assert_eq!(told.due(), NEVER);
        told.push(Event::Ponged { token: 1, who: crate::shared::Who::Client, time: 1 });
        assert!(told.due() <= now);
        told.deliver(&shared, now);
        told.push(Event::Ponged { token: 1, who: crate::shared::Who::Client, time: 1 });
        assert_eq!(told.due(), now + PATIENCE);
        told.push(Event::Failed { token: 1, failure: Failure::Late });
        assert!(told.due() <= now);
        told.deliver(&shared, now);
        assert_eq!((told.due(), shared.events(9).len()), (NEVER, 3));
    }
}
