//! Which deadline is due, for thousands of tunnels and one sleep.
//!
//! A binary heap that knows where in it each slot stands: a deadline takes 12 bytes, and one that is
//! cancelled leaves nothing behind.

use crate::shared::{SLOT_BITS, SLOT_MASK};
use crate::sys::{Micros, NEVER};

/// Deadlines are kept in steps of so many microseconds, so that many are met in one turn: none is
/// early, and none late by more.
const STEP: Micros = 50_000;

/// The place of a slot that has no deadline.
const NOWHERE: u32 = u32::MAX;

/// At most one deadline for each slot.
#[derive(Default)]
pub struct Timers {
    /// The step of each deadline, with its slot in the bits below.
    heap: Vec<u64>,
    /// Where in the heap each slot is.
    places: Vec<u32>,
}

impl Timers {
    /// Makes `slot` due at `when` at the latest.
    pub fn bring_forward(&mut self, slot: usize, when: Micros) {
        let step = when.div_ceil(STEP);
        if step > NEVER >> SLOT_BITS {
            return; // centuries away
        }
        let deadline = step << SLOT_BITS | slot as u64;
        match self.place(slot) {
            Some(place) if self.heap[place] <= deadline => {}
            Some(place) => self.rise(place, deadline),
            None => {
                if slot >= self.places.len() {
                    self.places.resize(slot + 1, NOWHERE);
                }
                self.heap.push(deadline);
                self.rise(self.heap.len() - 1, deadline);
            }
        }
    }

    pub fn cancel(&mut self, slot: usize) {
        if let Some(place) = self.place(slot) {
            self.remove(place);
        }
    }

    pub fn next(&self) -> Micros {
        self.heap.first().map_or(NEVER, |deadline| (deadline >> SLOT_BITS) * STEP)
    }

    /// Takes out one whose deadline is at or before `now`.
    pub fn due(&mut self, now: Micros) -> Option<usize> {
        (self.next() <= now && !self.heap.is_empty()).then(|| self.remove(0))
    }

    fn place(&self, slot: usize) -> Option<usize> {
        let place = *self.places.get(slot)?;
        (place != NOWHERE).then_some(place as usize)
    }

    fn put(&mut self, place: usize, deadline: u64) {
        self.heap[place] = deadline;
        self.places[slot_of(deadline)] = place as u32;
    }

    /// Puts `deadline` at `place`, or above it.
    fn rise(&mut self, mut place: usize, deadline: u64) {
        while place > 0 {
            let above = (place - 1) / 2;
            if self.heap[above] <= deadline {
                break;
            }
            self.put(place, self.heap[above]);
            place = above;
        }
        self.put(place, deadline);
    }

    /// Takes out what is at `place`, which the last one fills.
    fn remove(&mut self, mut place: usize) -> usize {
        let slot = slot_of(self.heap[place]);
        self.places[slot] = NOWHERE;
        let last = self.heap.pop().expect("there is one at `place`");
        if place < self.heap.len() {
            while let Some(below) = self.first_below(place).filter(|below| self.heap[*below] < last)
            {
                self.put(place, self.heap[below]);
                place = below;
            }
            self.rise(place, last);
        }
        slot
    }

    fn first_below(&self, place: usize) -> Option<usize> {
        let below = 2 * place + 1..self.heap.len().min(2 * place + 3);
        below.min_by_key(|below| self.heap[*below])
    }
}

fn slot_of(deadline: u64) -> usize {
    (deadline & SLOT_MASK) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_none_early_and_each_once() {
        let mut timers = Timers::default();
        timers.bring_forward(1, 3 * STEP);
        timers.bring_forward(2, STEP + 1);
        assert_eq!(timers.next(), 2 * STEP);
        assert_eq!(timers.due(2 * STEP - 1), None);
        assert_eq!([timers.due(9 * STEP), timers.due(9 * STEP)], [Some(2), Some(1)]);
        assert_eq!((timers.due(NEVER), timers.next()), (None, NEVER));
    }

    #[test]
    fn a_deadline_moves_forward_but_not_back_and_can_be_cancelled() {
        let mut timers = Timers::default();
        for when in [3 * STEP, STEP, 2 * STEP, NEVER] {
            timers.bring_forward(1, when);
        }
        assert_eq!(timers.next(), STEP);
        timers.cancel(1);
        timers.cancel(1);
        assert_eq!(timers.next(), NEVER);
    }

    #[test]
    fn what_is_never_due_is_not_kept() {
        let mut timers = Timers::default();
        timers.bring_forward(0, NEVER);
        timers.bring_forward(1, NEVER - STEP);
        assert_eq!((timers.next(), timers.due(NEVER)), (NEVER, None));
    }

    #[test]
    fn what_is_cancelled_leaves_nothing_behind() {
        let mut timers = Timers::default();
        for call in 0..1000 {
            timers.bring_forward(call % 3, call as Micros * STEP);
            timers.cancel(call % 3);
        }
        assert_eq!((timers.heap.len(), timers.places.len()), (0, 3));
    }

    #[test]
    fn it_does_what_a_list_would_do() {
        const SLOTS: usize = 40;
        let (mut timers, mut list, mut now) = (Timers::default(), [NEVER; SLOTS], 0);
        let mut chance = 0x5EED_u64; // xorshift64: to be repeated
        for _ in 0..20_000 {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            let (slot, when) = (chance as usize % SLOTS, now + (chance >> 32) % (100 * STEP));
            match chance >> 8 & 3 {
                0 => {
                    timers.cancel(slot);
                    list[slot] = NEVER;
                }
                1 => {
                    now += (chance >> 32) % (4 * STEP);
                    while let Some(slot) = timers.due(now) {
                        let first = *list.iter().min().unwrap();
                        assert_eq!(std::mem::replace(&mut list[slot], NEVER), first);
                        assert!(first <= now);
                    }
                }
                _ => {
                    timers.bring_forward(slot, when);
                    list[slot] = list[slot].min(when.next_multiple_of(STEP));
                }
            }
            let first = *list.iter().min().unwrap();
            assert_eq!(timers.next(), first);
            assert!(first > now || chance >> 8 & 3 != 1);
        }
    }
}
