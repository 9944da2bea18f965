//! Calling the backend for a tunnel: send the head, read the answer's head.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use rustix::io::{Errno, Result};

use crate::answer::{HEAD_END, MAX_HEAD, Opening, opening};
use crate::context::Context;
use crate::limits::Limits;
use crate::shared::{Adoption, Command, Counters, Event, Failure, Shared, Token, Who, slot};
use crate::side::Side;
use crate::sys::{Micros, Poll, Ready, Socket};
use crate::timers::Timers;

/// Bytes that are taken at a time: frames may follow the head, and are kept until it is judged.
const PIECE: usize = 16 * 1024;

/// The client's end, once it is the engine's to watch.
pub struct Client {
    pub socket: Socket,
    pub terms: Option<Terms>,
}

/// On which a plain 101 opens the tunnel at once.
pub struct Terms {
    /// Its Sec-WebSocket-Accept.
    pub accept: Vec<u8>,
    /// What the client has sent before.
    pub early: Vec<u8>,
    pub limits: Arc<Limits>,
    pub max_age: Micros,
}

/// What a call has come to.
pub enum Outcome {
    Told(Event),
    Opens { adoption: Box<Adoption>, subprotocol: String },
}

/// Connects and sends, as far as that can be done at once; the engine does the rest.
///
/// A `client` that is given is the engine's if this succeeds; the call fails when it leaves.
pub fn begin(
    shared: &Shared,
    token: Token,
    address: SocketAddr,
    head: &[u8],
    deadline: Micros,
    client: Option<(RawFd, Option<Terms>)>,
) -> Result<()> {
    let socket = Socket::connect(address)?;
    let sent = match socket.send(head) {
        Ok(sent) => sent,
        Err(Errno::AGAIN) => 0,
        Err(error) => return Err(error),
    };
    let rest = head[sent..].to_vec();
    let when = if rest.is_empty() { deadline } else { 0 };
    shared.post_watched(when, |poll| {
        poll.add(&socket, Who::Backend.key(token))?;
        let client = match client {
            Some((fd, terms)) => {
                poll.add_raw(fd, Who::Client.key(token))?;
                Some(Client { socket: Socket::take(fd)?, terms })
            }
            None => None,
        };
        Ok(Command::Call(Box::new(Call::new(token, socket, rest, deadline, client))))
    })
}

pub struct Call {
    pub token: Token,
    socket: Socket,
    pub client: Option<Client>,
    /// What is still to be sent of the head.
    rest: Vec<u8>,
    /// Nothing has been sent, so it may still be refused.
    connecting: bool,
    received: Vec<u8>,
    answered: bool,
    /// Something has come from either end that is not read yet, as far as is known.
    readable: [bool; 2],
    /// The input of either end has ended, or its connection has failed.
    ended: [bool; 2],
    deadline: Micros,
}

impl Call {
    pub fn new(
        token: Token,
        socket: Socket,
        rest: Vec<u8>,
        deadline: Micros,
        client: Option<Client>,
    ) -> Self {
        Self {
            token,
            socket,
            client,
            connecting: !rest.is_empty(),
            rest,
            received: Vec::new(),
            answered: false,
            readable: [false; 2],
            ended: [false; 2],
            deadline,
        }
    }

    /// Waits until there is room for the rest of the head, and for the answer until the deadline.
    pub fn start(&mut self, poll: &Poll, timers: &mut Timers) -> Option<Outcome> {
        timers.bring_forward(slot(self.token), self.deadline);
        if self.rest.is_empty() {
            return None;
        }
        let watched = poll.want_room(&self.socket, Who::Backend.key(self.token));
        watched.err().map(|error| self.failed(Failure::Unreachable(error)))
    }

    /// Something has happened to a socket; what the client sends is left for the tunnel.
    pub fn ready(&mut self, who: Who, event: Ready) {
        self.readable[who as usize] |= event.readable;
        self.ended[who as usize] |= event.ended;
    }

    /// Sends and reads what it can; what has come of it, if anything.
    pub fn work(&mut self, context: &mut Context) -> Option<Outcome> {
        if self.answered {
            return None;
        }
        let outcome = match self.send() {
            _ if self.ended[0] => Some(self.failed(Failure::Left)),
            Ok(()) => self.read(context),
            Err(failure) => Some(self.failed(failure)),
        };
        if outcome.is_some() {
            context.timers.cancel(slot(self.token));
        }
        outcome
    }

    fn send(&mut self) -> std::result::Result<(), Failure> {
        while !self.rest.is_empty() {
            match self.socket.send(&self.rest) {
                Ok(sent) => {
                    self.connecting = false;
                    self.rest.drain(..sent);
                }
                Err(Errno::AGAIN) => break,
                Err(error) if self.connecting => return Err(Failure::Unreachable(error)),
                Err(_) => return Err(Failure::Closed),
            }
        }
        Ok(())
    }

    fn read(&mut self, context: &mut Context) -> Option<Outcome> {
        let mut from = 0;
        loop {
            if self.has_answer(from) {
                self.answered = true;
                return Some(self.opens(context.now).unwrap_or_else(|| self.asks()));
            }
            if !self.readable[1] {
                return None;
            }
            match self.socket.receive(&mut context.buffer[..PIECE]) {
                Ok(0) => return Some(self.failed(Failure::Closed)),
                Ok(size) => {
                    self.readable[1] = size == PIECE || self.ended[1];
                    from = self.received.len().saturating_sub(HEAD_END.len() - 1);
                    self.received.extend(&context.buffer[..size]);
                }
                Err(Errno::AGAIN) => self.readable[1] = false,
                Err(_) => return Some(self.failed(Failure::Closed)),
            }
        }
    }

    /// The tunnel, if the answer is one that the interpreter need not judge.
    fn opens(&mut self, now: Micros) -> Option<Outcome> {
        let terms = self.client.as_ref()?.terms.as_ref()?;
        let Opening { head, subprotocol, size } = opening(&self.received, &terms.accept)?;
        let Terms { early, limits, max_age, .. } = self.client.as_mut()?.terms.take()?;
        let adoption = Adoption {
            token: self.token,
            limits,
            max_age,
            counters: Arc::new(Counters::new(now)),
            rest: head,
            early: [early, self.received.split_off(size)],
        };
        Some(Outcome::Opens { adoption: Box::new(adoption), subprotocol })
    }

    fn asks(&mut self) -> Outcome {
        let (received, fd) = (std::mem::take(&mut self.received), self.socket.as_raw_fd());
        Outcome::Told(Event::Answered { token: self.token, received, fd })
    }

    /// Whether what has come has a head's end in it, `from` on, or is too long for a head.
    fn has_answer(&self, from: usize) -> bool {
        let ends = self.received[from..].windows(HEAD_END.len()).any(|end| end == HEAD_END);
        ends || self.received.len() > MAX_HEAD
    }

    /// The answer was an interim one: read on for the final one, of which `rest` has come.
    pub fn resume(&mut self, rest: Vec<u8>, timers: &mut Timers) {
        self.received = rest;
        self.answered = false;
        timers.bring_forward(slot(self.token), self.deadline);
    }

    /// Nothing comes of it; the connections stay until it is cancelled.
    fn failed(&mut self, failure: Failure) -> Outcome {
        self.answered = true;
        Outcome::Told(Event::Failed { token: self.token, failure })
    }

    /// It has not been answered in time.
    pub fn late(&mut self) -> Outcome {
        self.failed(Failure::Late)
    }

    /// Closes it.
    pub fn cancel(self, poll: &Poll, timers: &mut Timers) {
        timers.cancel(slot(self.token));
        poll.remove(&self.socket);
        if let Some(client) = &self.client {
            poll.remove(&client.socket);
        }
    }

    /// The two ends of the tunnel.
    pub fn into_sides(self) -> [Side; 2] {
        let client = self.client.expect("who is adopted has been given").socket;
        [(Who::Client, client), (Who::Backend, self.socket)].map(|(who, socket)| {
            let mut side = Side::new(socket);
            side.readable = self.readable[who as usize];
            side.ended = self.ended[who as usize];
            side
        })
    }
}
