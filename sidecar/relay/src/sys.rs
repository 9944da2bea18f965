//! The system-call layer: sockets, epoll, eventfd, clock. All `unsafe` code is here.

use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::{Errno, Result, read, write};
use rustix::net::{
    self, AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, sockopt,
};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{ClockId, clock_gettime};

/// Microseconds of the clock that Python's event loops go by.
pub type Micros = u64;

pub const NEVER: Micros = Micros::MAX;

pub fn clock() -> Micros {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

/// Bytes that no one can guess.
pub fn random<const SIZE: usize>() -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let size = getrandom(&mut bytes, GetRandomFlags::empty()).expect("the kernel has random bytes");
    assert_eq!(size, SIZE, "up to 256 random bytes come whole");
    bytes
}

/// Ends the process at once, with nothing of the interpreter or of the C library run any more.
pub fn exit(status: i32) -> ! {
    // SAFETY: takes no pointer, and does not return.
    unsafe { libc::_exit(status) }
}

/// How long the thread has a core before another one has it, and so how soon after waking it gets one.
const TURN: Duration = Duration::from_micros(200);

/// Has the kernel give this thread short turns: then it need not wait until the interpreter's thread
/// has had a whole one. Kernels before 6.12 take no notice, and who forbids it loses nothing else.
pub fn ask_for_short_turns() {
    if let Some(mut attributes) = scheduling() {
        attributes.sched_runtime = TURN.as_nanos() as u64;
        // SAFETY: 0 is this thread, and `attributes`, which has its size, is only read.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    }
}

/// How the kernel schedules this thread, where that is the usual way.
fn scheduling() -> Option<libc::sched_attr> {
    let mut attributes = MaybeUninit::<libc::sched_attr>::zeroed();
    let (place, size) = (attributes.as_mut_ptr(), size_of::<libc::sched_attr>());
    // SAFETY: 0 is this thread, and no more than `size` bytes are written to `place`, which has them.
    let outcome = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, place, size, 0) };
    // SAFETY: it is numbers only, for which zeros are values, too.
    let attributes = unsafe { attributes.assume_init() };
    (outcome == 0 && attributes.sched_policy == libc::SCHED_OTHER as u32).then_some(attributes)
}

/// A connected, or connecting, TCP socket that never blocks.
pub struct Socket(OwnedFd);

impl Socket {
    /// The connection that is `fd`'s, which nobody else has any more.
    pub fn take(fd: RawFd) -> Result<Self> {
        if fd < 0 {
            return Err(Errno::BADF);
        }
        // SAFETY: it is no negative number, and who gives it has detached it from its socket.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Begins to connect; on the loopback interface it is done, or refused, at the first `send`.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(Self(socket)),
            Err(error) => Err(error),
        }
    }

    /// Bytes that were taken of `data`; `Errno::AGAIN` where there is no room.
    pub fn send(&self, data: &[u8]) -> Result<usize> {
        retry(|| net::send(&self.0, data, SendFlags::NOSIGNAL))
    }

    /// Bytes that have come, 0 at the end of input; `Errno::AGAIN` where there are none.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        retry(|| net::recv(&self.0, &mut *buffer, RecvFlags::empty()).map(|(size, _)| size))
    }

    /// Ends its output: the peer sees the end of input after all that was sent.
    pub fn end_output(&self) {
        // It fails where the connection is gone, which the next read tells.
        let _ = net::shutdown(&self.0, Shutdown::Write);
    }
}

/// A connection that has been accepted.
pub struct Accepted {
    pub fd: RawFd,
    pub peer: String,
    /// What has come on it so far, at most `FIRST` bytes.
    pub data: Vec<u8>,
}

const FIRST: usize = 8 * 1024;

/// Up to `most` connections from `listener`; what is wrong is told when there is no other.
pub fn accept(listener: RawFd, most: usize) -> Result<Vec<Accepted>> {
    let (listener, flags) = (borrowed(listener)?, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC);
    let (mut accepted, mut buffer) = (Vec::new(), [0; FIRST]);
    while accepted.len() < most {
        match net::acceptfrom_with(listener, flags) {
            Ok((fd, address)) => {
                let address = address.and_then(|address| SocketAddr::try_from(address).ok());
                let peer = address.map_or_else(String::new, |address| address.ip().to_string());
                let socket = Socket(fd);
                let size = socket.receive(&mut buffer).unwrap_or(0); // who reads on is told of it
                let data = buffer[..size].to_vec();
                accepted.push(Accepted { fd: socket.0.into_raw_fd(), peer, data });
            }
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(Errno::AGAIN) => break,
            Err(error) if accepted.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(accepted)
}

/// What another has open as `fd`, for the one call that follows, and fails where it is not open.
fn borrowed<'fd>(fd: RawFd) -> Result<BorrowedFd<'fd>> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: it is no negative number, and as above.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Takes bytes from one socket to another without a copy of them. It is empty between two uses.
///
/// A peer that has gone raises SIGPIPE, for which `splice` has no flag; Python ignores it.
pub struct Pipe {
    output: OwnedFd,
    input: OwnedFd,
}

impl Pipe {
    /// One with room for `size` bytes, or for less where the kernel grants its user no more.
    pub fn new(size: usize) -> Result<Self> {
        let (output, input) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let _ = fcntl_setpipe_size(&input, size);
        Ok(Self { output, input })
    }

    /// As `Socket::receive`, with `most` bytes at most; fewer do not tell that no more have come.
    pub fn fill(&self, from: &Socket, most: usize) -> Result<usize> {
        retry(|| splice(&from.0, None, &self.input, None, most, SpliceFlags::NONBLOCK))
    }

    /// As `Socket::send`, with up to `most` of the bytes that are in it.
    pub fn drain(&self, to: &Socket, most: usize) -> Result<usize> {
        retry(|| splice(&self.output, None, &to.0, None, most, SpliceFlags::NONBLOCK))
    }

    /// Takes out what is in it, which fills the buffer.
    pub fn empty(&self, buffer: &mut [u8]) {
        let size = retry(|| read(&self.output, &mut *buffer));
        assert_eq!(size, Ok(buffer.len()), "what is in a pipe can be read at once");
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// What has become of a descriptor.
#[derive(Clone, Copy)]
pub struct Ready {
    pub key: u64,
    pub readable: bool,
    pub writable: bool,
    /// Its input has ended, or the connection has failed: reading tells which.
    pub ended: bool,
}

/// A set of watched descriptors, edge-triggered.
pub struct Poll(OwnedFd);

impl Poll {
    pub fn new() -> Result<Self> {
        epoll::create(epoll::CreateFlags::CLOEXEC).map(Self)
    }

    /// Watches `fd` for input; its events carry `key`.
    pub fn add(&self, fd: impl AsFd, key: u64) -> Result<()> {
        epoll::add(&self.0, fd, epoll::EventData::new_u64(key), INPUT)
    }

    /// As `add`, for what is still another's.
    pub fn add_raw(&self, fd: RawFd, key: u64) -> Result<()> {
        self.add(borrowed(fd)?, key)
    }

    /// Watches `fd` for room, too; it is told at once where there is some.
    pub fn want_room(&self, fd: impl AsFd, key: u64) -> Result<()> {
        let flags = INPUT | epoll::EventFlags::OUT;
        epoll::modify(&self.0, fd, epoll::EventData::new_u64(key), flags)
    }

    /// Forgets `fd`, as it must be before it is closed: a duplicate would keep its events coming.
    pub fn remove(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.0, fd); // it fails only where `fd` is not watched
    }

    /// Waits for events, until the clock shows `until` at most.
    pub fn wait(&self, until: Micros, ready: &mut Vec<Ready>) -> Result<()> {
        let mut events = [const { std::mem::MaybeUninit::uninit() }; 256];
        let limit = (until != NEVER).then(|| milliseconds(until.saturating_sub(clock())));
        let events = match epoll::wait(&self.0, &mut events, limit.as_ref()) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => &mut [],
            Err(error) => return Err(error),
        };
        ready.clear();
        ready.extend(events.iter().map(|event| {
            let (key, flags) = (event.data.u64(), event.flags);
            let ended = flags.intersects(ENDED);
            Ready {
                key,
                readable: ended || flags.contains(epoll::EventFlags::IN),
                writable: flags.contains(epoll::EventFlags::OUT),
                ended,
            }
        }));
        Ok(())
    }
}

const INPUT: epoll::EventFlags =
    epoll::EventFlags::IN.union(epoll::EventFlags::RDHUP).union(epoll::EventFlags::ET);

const ENDED: epoll::EventFlags =
    epoll::EventFlags::RDHUP.union(epoll::EventFlags::HUP).union(epoll::EventFlags::ERR);

/// Rounded up to whole milliseconds, which are epoll's.
fn milliseconds(time: Micros) -> Timespec {
    let millis = time.div_ceil(1000);
    Timespec { tv_sec: (millis / 1000) as i64, tv_nsec: (millis % 1000 * 1_000_000) as i64 }
}

/// A bell between two threads.
pub struct Bell(OwnedFd);

impl Bell {
    pub fn new() -> Result<Self> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Self)
    }

    pub fn ring(&self) {
        // It fails only after 2^64 rings that nobody has heard, and then it rings already.
        let _ = write(&self.0, &1u64.to_ne_bytes());
    }

    pub fn silence(&self) {
        let _ = read(&self.0, &mut [0; 8]); // it fails only where nobody has rung
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_asks_has_short_turns_where_the_kernel_knows_of_them() {
        std::thread::spawn(|| {
            let knows = scheduling().unwrap().sched_runtime != 0;
            ask_for_short_turns();
            let turn = if knows { TURN.as_nanos() as u64 } else { 0 };
            assert_eq!(scheduling().unwrap().sched_runtime, turn);
        })
        .join()
        .unwrap();
    }
}
