//! A non-blocking TCP connection with an outbox, watched for what it waits for.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;

use crate::sys::{Epoll, Interest};

pub struct Link {
    stream: TcpStream,
    token: usize,
    outbox: VecDeque<Rc<Vec<u8>>>,
    /// How much of the outbox's first item is written.
    written: usize,
    watched: Interest,
    /// What to watch for while the outbox cannot be written.
    when_blocked: Interest,
}

impl Link {
    pub fn new(
        stream: TcpStream,
        epoll: &Epoll,
        token: usize,
        when_blocked: Interest,
    ) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let watched = Interest::Read;
        epoll.add(&stream, token, watched)?;
        Ok(Self { stream, token, outbox: VecDeque::new(), written: 0, watched, when_blocked })
    }

    pub fn queue(&mut self, bytes: Rc<Vec<u8>>) {
        self.outbox.push_back(bytes);
    }

    pub fn is_blocked(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Writes as much of the outbox as the socket takes, and watches for room where some is left.
    pub fn flush(&mut self, epoll: &Epoll) -> io::Result<()> {
        while self.is_blocked() {
            let mut slices = [IoSlice::new(&[]); 16];
            let skip = std::iter::once(self.written).chain(std::iter::repeat(0));
            for ((slice, bytes), skip) in slices.iter_mut().zip(&self.outbox).zip(skip) {
                *slice = IoSlice::new(&bytes[skip..]);
            }
            match (&self.stream).write_vectored(&slices) {
                Ok(size) => self.advance(size),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let wanted = if self.is_blocked() { self.when_blocked } else { Interest::Read };
        if wanted != self.watched {
            epoll.modify(&self.stream, self.token, wanted)?;
            self.watched = wanted;
        }
        Ok(())
    }

    fn advance(&mut self, size: usize) {
        self.written += size;
        while self.outbox.front().is_some_and(|bytes| bytes.len() <= self.written) {
            self.written -= self.outbox.pop_front().map_or(0, |bytes| bytes.len());
        }
    }

    /// Reads what is there: nothing yet, the end (0), or so many bytes.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.stream.read(buffer) {
            Ok(size) => Ok(Some(size)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}
