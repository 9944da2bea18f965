//! One end of a tunnel: its socket, what waits for it, and what it sends.

use rustix::io::Errno;

use crate::limits::STALL_TIMEOUT;
use crate::sys::{Micros, NEVER, Pipe, Poll, Socket};
use crate::tracker::Tracker;

/// What the kernel had no room for.
struct Backlog {
    data: Vec<u8>,
    sent: usize,
    /// Until when there must be progress, and what was waiting when that was set.
    deadline: Micros,
    waiting: usize,
}

impl Backlog {
    fn waiting(&self) -> usize {
        self.data.len() - self.sent
    }
}

/// Pongs that are still to come.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Owes {
    #[default]
    Nothing,
    /// The one to the last ping.
    Pong,
    /// Others, too: the next one need not be to the last ping.
    Pongs,
}

/// What must come before the pong's deadline.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Awaits {
    #[default]
    Nothing,
    /// The pong; but what has come since the ping shows that the side lives.
    Pong,
    /// Anything.
    Sign,
}

pub struct Side {
    /// `None` once the connection is gone.
    socket: Option<Socket>,
    /// Follows what this side sends.
    pub tracker: Tracker,
    backlog: Option<Box<Backlog>>,
    /// Why it cannot be written to any more; what it has sent is still read.
    failed: Option<Errno>,
    /// Something has come that is not read yet, as far as is known.
    pub readable: bool,
    /// Its input has ended, or the connection has failed: a short read is not the last one.
    pub ended: bool,
    pub eof: bool,
    /// To be closed as soon as nothing waits for it.
    closing: bool,
    /// To be told that nothing more comes as soon as nothing waits for it.
    shut: bool,
    wants_room: bool,
    owes: Owes,
    awaits: Awaits,
}

impl Side {
    pub fn new(socket: Socket) -> Self {
        Self {
            socket: Some(socket),
            tracker: Tracker::default(),
            backlog: None,
            failed: None,
            readable: false,
            ended: false,
            eof: false,
            closing: false,
            shut: false,
            wants_room: false,
            owes: Owes::default(),
            awaits: Awaits::default(),
        }
    }

    /// Whether the connection is gone.
    pub fn lost(&self) -> bool {
        self.socket.is_none()
    }

    /// Whether nothing more is to be expected from this side.
    pub fn done(&self) -> bool {
        self.eof || self.lost() || self.tracker.close().is_some()
    }

    /// Whether something waits to be taken by it.
    pub fn stalled(&self) -> bool {
        self.backlog.is_some()
    }

    /// Whether it may be read, as far as it is concerned.
    pub fn can_read(&self) -> bool {
        self.readable && !self.eof && !self.closing && !self.lost()
    }

    /// What has come next; `None` where nothing has, 0 bytes at the end of input.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
        let room = buffer.len();
        let size = self.take(|socket| socket.receive(buffer))?;
        self.readable &= self.ended || size == Some(room);
        Ok(size)
    }

    /// As `read`, but into the pipe, and up to `most` bytes.
    pub fn fill(&mut self, pipe: &Pipe, most: usize) -> Result<Option<usize>, Errno> {
        self.take(|socket| pipe.fill(socket, most))
    }

    fn take(
        &mut self,
        from: impl FnOnce(&Socket) -> Result<usize, Errno>,
    ) -> Result<Option<usize>, Errno> {
        let Some(socket) = &self.socket else { return Ok(None) };
        match from(socket) {
            Ok(size) => Ok(Some(size)),
            Err(Errno::AGAIN) => {
                self.readable = false;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends of the `size` bytes in the pipe what there is room for; how many are left.
    pub fn drain(&self, pipe: &Pipe, size: usize) -> usize {
        let mut left = size;
        if let Some(socket) = self.socket.as_ref().filter(|_| self.failed.is_none()) {
            while left > 0 {
                match pipe.drain(socket, left) {
                    Ok(sent) => left -= sent,
                    Err(_) => break, // what is left meets it again
                }
            }
        }
        left
    }

    /// Sends `data`, or keeps what the kernel has no room for; `key` is that of its events.
    pub fn write(&mut self, data: &[u8], key: u64, poll: &Poll, now: Micros) {
        let Some(socket) = self.socket.as_ref().filter(|_| self.failed.is_none()) else { return };
        if let Some(backlog) = &mut self.backlog {
            backlog.data.extend(data);
            return;
        }
        let sent = match socket.send(data) {
            Ok(sent) if sent == data.len() => return,
            Ok(sent) => sent,
            Err(Errno::AGAIN) => 0,
            Err(error) => return self.fail(error),
        };
        let data = data[sent..].to_vec();
        let (deadline, waiting) = (now + STALL_TIMEOUT, data.len());
        self.backlog = Some(Box::new(Backlog { data, sent: 0, deadline, waiting }));
        if !self.wants_room {
            self.wants_room = true;
            if let Err(error) = poll.want_room(socket, key) {
                self.fail(error);
            }
        }
    }

    /// Sends what waits, as there is room.
    pub fn flush(&mut self) {
        let (Some(socket), Some(backlog)) = (&self.socket, &mut self.backlog) else { return };
        while backlog.waiting() > 0 {
            match socket.send(&backlog.data[backlog.sent..]) {
                Ok(sent) => backlog.sent += sent,
                Err(Errno::AGAIN) => return,
                Err(error) => return self.fail(error),
            }
        }
        self.backlog = None;
        if self.shut {
            socket.end_output();
        }
    }

    /// It takes nothing any more. What it has sent before can still be read, up to an end.
    fn fail(&mut self, error: Errno) {
        self.failed = Some(error);
        self.backlog = None;
        self.readable = true;
        self.ended = true;
    }

    /// Why it was found to be gone while something was written to it.
    pub fn failed(&self) -> Option<Errno> {
        self.failed
    }

    /// Whether the connection can be given up: nothing more goes out, or comes in.
    pub fn finished(&self) -> bool {
        let written = self.backlog.is_none();
        !self.lost() && (self.closing && written || self.failed.is_some() && !self.can_read())
    }

    /// Tells it that nothing more comes, after what waits.
    pub fn end_output(&mut self) {
        self.shut = true;
        if let Some(socket) = self.socket.as_ref().filter(|_| self.backlog.is_none()) {
            socket.end_output();
        }
    }

    /// Closes it after what waits; nothing is read any more.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Closes it at once.
    pub fn cut(&mut self, poll: &Poll) {
        if let Some(socket) = self.socket.take() {
            poll.remove(&socket);
        }
        self.backlog = None;
    }

    /// A ping is sent to it.
    pub fn pinged(&mut self) {
        self.owes = if self.owes == Owes::Nothing { Owes::Pong } else { Owes::Pongs };
        self.awaits = Awaits::Sign;
    }

    /// Its turn for a ping has passed without one: a pong that still comes tells no time.
    pub fn not_pinged(&mut self) {
        if self.owes == Owes::Pong {
            self.owes = Owes::Pongs;
        }
    }

    /// Something has come from it.
    pub fn heard(&mut self) {
        if self.awaits == Awaits::Sign {
            self.awaits = Awaits::Pong;
        }
    }

    /// A pong to one of its pings has come: whether to the last one, as far as that is sure.
    pub fn ponged(&mut self) -> bool {
        self.awaits = Awaits::Nothing;
        std::mem::take(&mut self.owes) == Owes::Pong
    }

    /// Whether a pong is to come in time.
    pub fn awaited(&self) -> bool {
        self.awaits != Awaits::Nothing
    }

    /// No pong has come in time: whether nothing else has, either.
    pub fn is_dead(&mut self) -> bool {
        std::mem::take(&mut self.awaits) == Awaits::Sign
    }

    /// Until when it must have taken something of what waits.
    pub fn stall_deadline(&self) -> Micros {
        self.backlog.as_ref().map_or(NEVER, |backlog| backlog.deadline)
    }

    /// Whether it has taken nothing for STALL_TIMEOUT.
    pub fn gave_up(&mut self, now: Micros) -> bool {
        let Some(backlog) = self.backlog.as_mut().filter(|backlog| now >= backlog.deadline) else {
            return false;
        };
        let before = std::mem::replace(&mut backlog.waiting, backlog.data.len() - backlog.sent);
        backlog.deadline = now + STALL_TIMEOUT;
        backlog.waiting >= before
    }
}
