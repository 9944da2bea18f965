//! Which deadline is due, for thousands of tunnels and one sleep.

use std::collections::BTreeSet;

use crate::shared::Token;
use crate::sys::{Micros, NEVER};

/// Deadlines are kept in steps of so many microseconds, so that many are met in one turn: none is
/// early, and none late by more.
const STEP: Micros = 50_000;

/// At most one deadline for each token, which its owner remembers.
#[derive(Default)]
pub struct Timers(BTreeSet<(Micros, Token)>);

impl Timers {
    /// Makes `token` due at `when` at the latest; `set` is what it was set to before.
    pub fn bring_forward(&mut self, token: Token, set: &mut Micros, when: Micros) {
        let when = when.checked_next_multiple_of(STEP).unwrap_or(NEVER);
        if when < *set {
            self.cancel(token, set);
            self.0.insert((when, token));
            *set = when;
        }
    }

    pub fn cancel(&mut self, token: Token, set: &mut Micros) {
        self.0.remove(&(*set, token));
        *set = NEVER;
    }

    pub fn next(&self) -> Micros {
        self.0.first().map_or(NEVER, |(when, _)| *when)
    }

    /// Takes out one whose deadline is at or before `now`.
    pub fn due(&mut self, now: Micros) -> Option<Token> {
        let (when, token) = *self.0.first()?;
        (when <= now && self.0.remove(&(when, token))).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_none_early_and_each_once() {
        let (mut timers, mut one, mut two) = (Timers::default(), NEVER, NEVER);
        timers.bring_forward(1, &mut one, 3 * STEP);
        timers.bring_forward(2, &mut two, STEP + 1);
        assert_eq!(timers.next(), 2 * STEP);
        assert_eq!(timers.due(2 * STEP - 1), None);
        assert_eq!([timers.due(9 * STEP), timers.due(9 * STEP)], [Some(2), Some(1)]);
        assert_eq!((timers.due(NEVER), timers.next()), (None, NEVER));
    }

    #[test]
    fn a_deadline_moves_forward_but_not_back_and_can_be_cancelled() {
        let (mut timers, mut set) = (Timers::default(), NEVER);
        for when in [3 * STEP, STEP, 2 * STEP, NEVER] {
            timers.bring_forward(1, &mut set, when);
        }
        assert_eq!(timers.next(), STEP);
        timers.cancel(1, &mut set);
        assert_eq!((timers.next(), set), (NEVER, NEVER));
    }
}
