//! What the clock does to a tunnel: the cases of `test_relay_time.py`, at times that are made up.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::call::Call;
use crate::frames::{FIN, PONG, close_frame, masked, ping_frame};
use crate::limits::{CLOSE_TIMEOUT, HALF_CLOSE_TIMEOUT, Limits, STALL_TIMEOUT};
use crate::shared::{Adoption, Counters, End, Event, Shared, Token, Who};
use crate::sys::{Micros, NEVER, Ready, Socket};
use crate::timers::Timers;
use crate::tunnel::{Context, Left, Tunnel};

const SECOND: Micros = 1_000_000;
/// By which a deadline may be missed.
const LATE: Micros = 50_000;
const START: Micros = 1000 * SECOND;
const TOKEN: Token = 1 << 24;

const PINGS: Limits = Limits { ping_interval: 30 * SECOND, pong_timeout: 10 * SECOND, ..NONE };
const IDLE: Limits = Limits { idle: 10 * SECOND, ..NONE };
const NONE: Limits = Limits {
    idle: NEVER,
    max_age: NEVER,
    ping_interval: NEVER,
    pong_timeout: NEVER,
    max_message: None,
    idle_data_only: false,
};

/// A tunnel between two sockets of the test's.
struct Rig {
    context: Context,
    tunnel: Option<Tunnel>,
    end: Option<Box<End>>,
    far: [UnixStream; 2],
}

impl Rig {
    fn new(limits: Limits) -> Self {
        let pairs = [Who::Client, Who::Backend].map(|_| UnixStream::pair().unwrap());
        let near = [0, 1].map(|at: usize| {
            pairs[at].0.set_nonblocking(true).unwrap();
            pairs[at].1.set_nonblocking(true).unwrap();
            Socket::take(pairs[at].0.try_clone().unwrap().into_raw_fd()).unwrap()
        });
        let mut context = Context {
            now: START,
            shared: Arc::new(Shared::new().unwrap()),
            timers: Timers::default(),
            told: Vec::new(),
            buffer: vec![0; 1024].into(),
        };
        let counters = Arc::new(Counters::new(START));
        let (rest, early) = Default::default();
        let adoption = Adoption { token: TOKEN, limits, counters, rest, early };
        for (who, socket) in [Who::Client, Who::Backend].into_iter().zip(&near) {
            context.shared.poll.add(socket, who.key(TOKEN)).unwrap();
        }
        let [client, backend] = near;
        let call = Call::new(TOKEN, backend, Vec::new(), NEVER);
        let tunnel = Tunnel::new(adoption, client, call, &mut context);
        let mut rig =
            Self { context, tunnel: Some(tunnel), end: None, far: pairs.map(|pair| pair.1) };
        rig.work();
        rig
    }

    fn work(&mut self) {
        let Some(tunnel) = &mut self.tunnel else { return };
        while tunnel.work(&mut self.context) == Left::More {}
        if tunnel.work(&mut self.context) == Left::Over {
            let tunnel = self.tunnel.take().unwrap();
            self.end = Some(tunnel.into_end(&mut self.context));
        }
    }

    /// Lets time pass, from one deadline to the next.
    fn until(&mut self, moment: Micros) {
        while self.context.timers.next() <= START + moment {
            self.context.now = self.context.timers.next();
            assert_eq!(self.context.timers.due(self.context.now), Some(TOKEN));
            if let Some(tunnel) = &mut self.tunnel {
                tunnel.due(&mut self.context);
            }
            self.work();
        }
        self.context.now = START + moment;
    }

    fn says(&mut self, who: Who, data: &[u8]) {
        (&self.far[who as usize]).write_all(data).unwrap();
        self.happens(who, false);
    }

    fn happens(&mut self, who: Who, writable: bool) {
        let event = Ready { key: who.key(TOKEN), readable: true, writable, ended: true };
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.ready(who, event);
        }
        self.work();
    }

    /// What has come to `who` since the last look.
    fn seen(&self, who: Who) -> Vec<u8> {
        let mut seen = Vec::new();
        match (&self.far[who as usize]).read_to_end(&mut seen) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
            _ => seen,
        }
    }

    /// Answers the ping that `who` has got.
    fn pongs(&mut self, who: Who) {
        let ping = self.seen(who);
        assert_eq!(ping[0], 0x89, "{who:?} has got a ping");
        let payload = match who {
            Who::Client => ping[2..10].to_vec(),
            Who::Backend => masked(&ping[6..14], &ping[2..6]),
        };
        let mut pong = ping_frame(&payload, who == Who::Client);
        pong[0] = PONG;
        self.says(who, &pong);
    }

    fn cut_at(&mut self, moment: Micros) -> Box<End> {
        self.until(moment - 1);
        assert!(self.end.is_none());
        self.until(moment + LATE);
        self.end.take().expect("it was cut")
    }

    fn closes_at(&mut self, moment: Micros, code: u16, text: &str) {
        self.until(moment - 1);
        assert_eq!(self.seen(Who::Client), b"");
        self.until(moment + LATE);
        assert_eq!(self.seen(Who::Client), close_frame(code, text, false));
        assert_eq!(self.seen(Who::Backend)[0], 0x88);
    }
}

fn message(mask: bool) -> Vec<u8> {
    let mut frame = ping_frame(b"hello", mask);
    frame[0] = 0x01 | FIN;
    frame
}

#[test]
fn an_idle_tunnel_ends_with_a_close_to_both_sides() {
    let mut rig = Rig::new(IDLE);
    rig.until(5 * SECOND);
    rig.says(Who::Client, &message(true));
    rig.seen(Who::Backend);
    rig.closes_at(15 * SECOND, 1001, "connection was idle for too long");
    rig.says(Who::Client, &close_frame(1001, "", true));
    rig.says(Who::Backend, &close_frame(1001, "", false));
    let end = rig.end.unwrap();
    assert_eq!((end.reason.as_str(), end.initiator, end.code), ("idle", "sidecar", Some(1001)));
}

#[test]
fn of_data_frames_only_a_ping_does_not_count_and_a_swallowed_pong_never_does() {
    let mut rig = Rig::new(Limits { idle_data_only: true, ..IDLE });
    rig.until(5 * SECOND);
    rig.says(Who::Client, &ping_frame(b"hi", true));
    rig.seen(Who::Backend);
    rig.closes_at(10 * SECOND, 1001, "connection was idle for too long");

    let mut rig = Rig::new(Limits { idle: 31 * SECOND, ..PINGS });
    rig.until(30 * SECOND + LATE);
    rig.pongs(Who::Client);
    rig.pongs(Who::Backend);
    rig.closes_at(31 * SECOND, 1001, "connection was idle for too long");
}

#[test]
fn the_greatest_age_ends_a_busy_tunnel() {
    let mut rig = Rig::new(Limits { max_age: 20 * SECOND, ..IDLE });
    for moment in [5, 10, 15] {
        rig.until(moment * SECOND);
        rig.says(Who::Client, &message(true));
    }
    rig.seen(Who::Backend);
    rig.closes_at(20 * SECOND, 1001, "connection reached its maximum duration");
}

#[test]
fn peers_that_answer_pings_stay_and_see_nothing_of_each_others() {
    let mut rig = Rig::new(PINGS);
    for round_trip in 1..5 {
        rig.until(30 * SECOND * round_trip + LATE);
        rig.pongs(Who::Client);
        rig.pongs(Who::Backend);
    }
    assert!(rig.end.is_none() && rig.seen(Who::Client).is_empty());
    assert_eq!(rig.context.told.len(), 8);
    assert!(rig.context.told.iter().all(|event| matches!(event, Event::Ponged { .. })));
}

#[test]
fn a_peer_that_does_not_answer_a_ping_ends_the_tunnel() {
    for (alive, dead) in [(Who::Client, Who::Backend), (Who::Backend, Who::Client)] {
        let mut rig = Rig::new(PINGS);
        rig.until(30 * SECOND + LATE);
        rig.pongs(alive);
        rig.seen(dead);
        let text = format!("no answer to a ping by the {}", dead.name());
        rig.closes_at(40 * SECOND, 1011, &text);
        assert_eq!(rig.cut_at(45 * SECOND).reason, "ping_timeout");
    }
}

#[test]
fn a_peer_that_is_too_busy_to_answer_lives() {
    let mut rig = Rig::new(PINGS);
    rig.until(30 * SECOND + LATE);
    rig.pongs(Who::Backend);
    rig.until(35 * SECOND);
    rig.says(Who::Client, &message(true));
    rig.until(59 * SECOND);
    assert!(rig.end.is_none());
    assert_eq!(rig.seen(Who::Client)[0], 0x89);
    assert_eq!(rig.seen(Who::Client), b"");
}

#[test]
fn who_cannot_be_pinged_owes_no_answer() {
    let (said, replied) = (message(true), message(false));
    for (said, replied) in [(&b"\xff\xff"[..], &b"\xff\xff"[..]), (&said[..9], &replied[..4])] {
        let mut rig = Rig::new(PINGS);
        rig.says(Who::Client, said);
        rig.says(Who::Backend, replied);
        rig.until(55 * SECOND);
        assert!(rig.end.is_none());
        assert_eq!(rig.seen(Who::Client), replied);
        assert_eq!(rig.seen(Who::Backend), said);
    }
}

#[test]
fn peers_that_do_not_answer_the_sidecars_close_are_cut() {
    let mut rig = Rig::new(NONE);
    let tunnel = rig.tunnel.as_mut().unwrap();
    tunnel.end("drain", 1001, "pod is going away", &mut rig.context);
    rig.work();
    assert_eq!(rig.cut_at(CLOSE_TIMEOUT).reason, "drain");
}

#[test]
fn one_direction_goes_on_for_a_while_after_the_other_has_ended() {
    let mut rig = Rig::new(NONE);
    rig.far[0].shutdown(std::net::Shutdown::Write).unwrap();
    rig.happens(Who::Client, false);
    rig.until(20 * SECOND);
    rig.says(Who::Backend, &message(false));
    assert_eq!(rig.seen(Who::Client), message(false));
    assert_eq!(rig.cut_at(HALF_CLOSE_TIMEOUT).reason, "client");
}

/// The backend sends more than the client takes.
fn stall(rig: &mut Rig) {
    rig.says(Who::Backend, b"\x82\x7f\0\0\0\x01\0\0\0\0");
    loop {
        match (&rig.far[1]).write(&[0; 4096]) {
            Ok(_) => rig.happens(Who::Backend, false),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let mut rig = Rig::new(NONE);
    stall(&mut rig);
    let end = rig.cut_at(STALL_TIMEOUT);
    assert_eq!((end.reason.as_str(), end.initiator), ("error", "sidecar"));
}

#[test]
fn a_peer_that_reads_slowly_is_not_given_up() {
    let mut rig = Rig::new(NONE);
    stall(&mut rig);
    for round in 1..4 {
        rig.until(round * (STALL_TIMEOUT - SECOND));
        assert_ne!((&rig.far[0]).read(&mut [0; 65536]).unwrap(), 0);
        rig.happens(Who::Client, true);
    }
    assert!(rig.end.is_none());
}
