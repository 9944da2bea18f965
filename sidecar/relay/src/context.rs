//! What the engine's thread has for all its tunnels.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use rustix::io::Result;

use crate::shared::{Shared, Token, Who};
use crate::sys::{Micros, Pipe, clock};
use crate::timers::Timers;
use crate::told::Told;

/// Bytes that are taken at a time.
const ROOM: usize = 256 * 1024;

pub struct Context {
    pub now: Micros,
    pub shared: Arc<Shared>,
    pub timers: Timers,
    pub told: Told,
    /// Whatever is read goes through it. One serves all, as nothing stays in it.
    pub buffer: Box<[u8]>,
    /// What goes around the buffer. Nothing stays in it, either.
    pub pipe: Pipe,
    /// What the payloads of all pings are made from.
    secret: RandomState,
}

impl Context {
    pub fn new(shared: Arc<Shared>) -> Result<Self> {
        Ok(Self {
            now: clock(),
            shared,
            timers: Timers::default(),
            told: Told::default(),
            buffer: vec![0; ROOM].into(),
            pipe: Pipe::new(ROOM)?,
            secret: RandomState::new(),
        })
    }

    /// Payload of the sidecar's own pings to one side of a tunnel, which nobody else can guess.
    pub fn own_ping(&self, token: Token, who: Who) -> [u8; 8] {
        self.secret.hash_one(who.key(token)).to_ne_bytes()
    }
}
