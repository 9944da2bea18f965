//! Calling the backend for a tunnel: send the head, read the answer's head.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

use rustix::io::{Errno, Result};

use crate::shared::{Command, Event, Failure, Shared, Token, Who};
use crate::sys::{Micros, NEVER, Poll, Ready, Socket};
use crate::timers::Timers;

/// Bytes of a response head; who judges it tells the backend's mistake.
const MAX_HEAD: usize = 64 * 1024;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// Bytes that are taken at a time: frames may follow the head, and are kept until it is judged.
const PIECE: usize = 16 * 1024;

/// Connects and sends, as far as that can be done at once; the engine does the rest.
///
/// A `client` that nobody else watches is watched: the call fails when it leaves.
pub fn begin(
    shared: &Shared,
    token: Token,
    address: SocketAddr,
    head: &[u8],
    deadline: Micros,
    client: Option<RawFd>,
) -> Result<()> {
    let socket = Socket::connect(address)?;
    let sent = match socket.send(head) {
        Ok(sent) => sent,
        Err(Errno::AGAIN) => 0,
        Err(error) => return Err(error),
    };
    let rest = head[sent..].to_vec();
    let when = if rest.is_empty() { deadline } else { 0 };
    let key = Who::Backend.key(token);
    let call = |socket| Command::Call { token, socket, rest, deadline };
    shared.post_watched(socket, key, when, call)?;
    if let Some(client) = client {
        // After the command, so that nothing is missed; where it fails, adopting the client does.
        let _ = shared.poll.add_raw(client, Who::Client.key(token));
    }
    Ok(())
}

pub struct Call {
    pub token: Token,
    socket: Socket,
    /// What is still to be sent of the head.
    rest: Vec<u8>,
    /// Nothing has been sent, so it may still be refused.
    connecting: bool,
    received: Vec<u8>,
    answered: bool,
    /// The client has gone, or sends no more.
    left: bool,
    readable: bool,
    ended: bool,
    deadline: Micros,
    timer: Micros,
}

impl Call {
    pub fn new(token: Token, socket: Socket, rest: Vec<u8>, deadline: Micros) -> Self {
        Self {
            token,
            socket,
            connecting: !rest.is_empty(),
            rest,
            received: Vec::new(),
            answered: false,
            left: false,
            readable: false,
            ended: false,
            deadline,
            timer: NEVER,
        }
    }

    /// Waits until there is room for the rest of the head, and for the answer until the deadline.
    pub fn start(&mut self, poll: &Poll, timers: &mut Timers) -> Option<Event> {
        timers.bring_forward(self.token, &mut self.timer, self.deadline);
        if self.rest.is_empty() {
            return None;
        }
        let watched = poll.want_room(&self.socket, Who::Backend.key(self.token));
        watched.err().map(|error| self.failed(Failure::Unreachable(error)))
    }

    /// Something has happened to a socket; what the client sends is left for the tunnel.
    pub fn ready(&mut self, who: Who, event: Ready) {
        match who {
            Who::Client => self.left |= event.ended,
            Who::Backend => {
                self.readable |= event.readable;
                self.ended |= event.ended;
            }
        }
    }

    /// Sends and reads what it can; what the interpreter is to be told, if anything.
    pub fn work(&mut self, buffer: &mut [u8], timers: &mut Timers) -> Option<Event> {
        if self.answered {
            return None;
        }
        let outcome = match self.send() {
            _ if self.left => Some(self.failed(Failure::Left)),
            Ok(()) => self.read(buffer),
            Err(failure) => Some(self.failed(failure)),
        };
        if outcome.is_some() {
            timers.cancel(self.token, &mut self.timer);
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

    fn read(&mut self, buffer: &mut [u8]) -> Option<Event> {
        let mut from = 0;
        loop {
            if self.has_answer(from) {
                self.answered = true;
                let (received, fd) = (std::mem::take(&mut self.received), self.socket.as_raw_fd());
                return Some(Event::Answered { token: self.token, received, fd });
            }
            if !self.readable {
                return None;
            }
            match self.socket.receive(&mut buffer[..PIECE]) {
                Ok(0) => return Some(self.failed(Failure::Closed)),
                Ok(size) => {
                    self.readable = size == PIECE || self.ended;
                    from = self.received.len().saturating_sub(HEAD_END.len() - 1);
                    self.received.extend(&buffer[..size]);
                }
                Err(Errno::AGAIN) => self.readable = false,
                Err(_) => return Some(self.failed(Failure::Closed)),
            }
        }
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
        timers.bring_forward(self.token, &mut self.timer, self.deadline);
    }

    fn failed(&self, failure: Failure) -> Event {
        Event::Failed { token: self.token, failure }
    }

    /// It has not been answered in time.
    pub fn late(&self) -> Event {
        self.failed(Failure::Late)
    }

    /// Closes it.
    pub fn cancel(mut self, poll: &Poll, timers: &mut Timers) {
        timers.cancel(self.token, &mut self.timer);
        poll.remove(&self.socket);
    }

    /// The connection, and what is known of it.
    pub fn into_parts(self) -> (Socket, bool, bool) {
        (self.socket, self.readable, self.ended)
    }
}
