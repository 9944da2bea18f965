//! The system calls that std does not wrap: epoll, timerfd, getrandom. All `unsafe` code is here.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// What a descriptor is watched for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    Read,
    Write,
    Both,
}

impl Interest {
    fn flags(self) -> u32 {
        let flags = match self {
            Self::Read => libc::EPOLLIN,
            Self::Write => libc::EPOLLOUT,
            Self::Both => libc::EPOLLIN | libc::EPOLLOUT,
        };
        flags as u32
    }
}

/// A set of watched descriptors, level-triggered; a closed descriptor leaves it by itself.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let fd = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; 256] })
    }

    /// Watches `fd`; its events carry `token`.
    pub fn add(&self, fd: &impl AsRawFd, token: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    pub fn modify(&self, fd: &impl AsRawFd, token: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    fn control(
        &self,
        operation: i32,
        fd: &impl AsRawFd,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.flags(), u64: token as u64 };
        // SAFETY: `event` outlives the call, which only reads it.
        let status =
            unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd.as_raw_fd(), &mut event) };
        check(status).map(drop)
    }

    /// Waits until a descriptor is ready or `timeout` is over; gives the tokens of the ready ones.
    pub fn wait(&mut self, timeout: Option<Duration>, tokens: &mut Vec<usize>) -> io::Result<()> {
        let millis = timeout.map_or(-1, |limit| limit.as_micros().div_ceil(1000) as i32);
        let (events, room) = (self.events.as_mut_ptr(), self.events.len() as i32);
        // SAFETY: `events` points to `room` events that nothing else uses during the call.
        let count = check(unsafe { libc::epoll_wait(self.fd.as_raw_fd(), events, room, millis) })?;
        tokens.clear();
        tokens.extend(self.events[..count as usize].iter().map(|event| event.u64 as usize));
        Ok(())
    }
}

/// A clock that ticks at a fixed interval; readable when a tick is due.
pub struct Ticker(File);

impl Ticker {
    pub fn new(interval: Duration) -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let fd = owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK) })?;
        let interval = libc::timespec {
            tv_sec: interval.as_secs() as libc::time_t,
            tv_nsec: interval.subsec_nanos().into(),
        };
        let spec = libc::itimerspec { it_interval: interval, it_value: interval };
        // SAFETY: `spec` outlives the call, which only reads it; the old value is not asked for.
        check(unsafe { libc::timerfd_settime(fd.as_raw_fd(), 0, &spec, std::ptr::null_mut()) })?;
        Ok(Self(fd.into()))
    }

    /// The ticks since the last call.
    pub fn ticks(&self) -> io::Result<u64> {
        let mut ticks = [0; 8];
        match (&self.0).read(&mut ticks) {
            Ok(_) => Ok(u64::from_ne_bytes(ticks)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }
}

impl AsRawFd for Ticker {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// Bytes that no one can guess.
pub fn random<const SIZE: usize>() -> io::Result<[u8; SIZE]> {
    let mut bytes = [0; SIZE];
    // SAFETY: the buffer has `SIZE` bytes; up to 256 are always given whole.
    let size = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), SIZE, 0) };
    check(size as i32).map(|_| bytes)
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is new and belongs to no one else.
    check(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}
