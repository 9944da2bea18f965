//! A tunnel: two sides, the clock of their life, and the one reason of their end.
//!
//! The rules are those of `relay.py`, and the same tests hold both to them. What is different is
//! how it is driven: whatever happens is noted on the sides, and `work` then does all that is
//! possible, so that no order of events needs a case of its own.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use crate::call::Call;
use crate::context::Context;
use crate::frames::{close_frame, ping_frame};
use crate::limits::{CLOSE_TIMEOUT, Due, HALF_CLOSE_TIMEOUT, Limits, Moments};
use crate::shared::{Adoption, BOTH, Counters, End, Event, Token, Who, slot};
use crate::side::Side;
use crate::sys::{Micros, NEVER, Ready};
use crate::tracker::{Fed, Rules};

/// Reads of one side before others have their turn.
const READS: usize = 8;

/// Bytes that are read of a large frame before the rest of what has come goes through the pipe: for
/// fewer that costs more than the copies that it saves.
const PIECE: usize = 16 * 1024;

/// Bytes that have come: none yet, or 0 at the end of input.
type Come = Result<Option<usize>, Errno>;

/// What `work` leaves to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// There is more to be read.
    More,
    /// Both connections are gone.
    Over,
}

pub struct Tunnel {
    pub token: Token,
    limits: Arc<Limits>,
    counters: Arc<Counters>,
    sides: [Side; 2],
    end: Option<Box<End>>,
    pinged: Micros,
    /// When it reaches its maximum age.
    expires: Micros,
    /// When it is cut, whoever is still there.
    cut_at: Micros,
}

impl Tunnel {
    /// A tunnel between the connections of `call`, with what came before it.
    pub fn new(adoption: Adoption, call: Call, context: &mut Context) -> Self {
        let Adoption { token, limits, max_age, counters, rest, early } = adoption;
        let pinged = counters.opened;
        let expires = pinged.saturating_add(max_age);
        let sides = call.into_sides();
        let mut tunnel =
            Self { token, limits, counters, sides, end: None, pinged, expires, cut_at: NEVER };
        tunnel.write(Who::Client, &rest, context);
        for who in [Who::Backend, Who::Client] {
            if !early[who as usize].is_empty() {
                tunnel.received(who, &early[who as usize], context);
            }
        }
        tunnel.reschedule(context);
        tunnel
    }

    fn side(&mut self, who: Who) -> &mut Side {
        &mut self.sides[who as usize]
    }

    fn peer(&mut self, who: Who) -> &mut Side {
        self.side(who.other())
    }

    /// This side, and then the other.
    fn pair(&mut self, who: Who) -> (&mut Side, &mut Side) {
        let [client, backend] = &mut self.sides;
        match who {
            Who::Client => (client, backend),
            Who::Backend => (backend, client),
        }
    }

    /// Something has happened to a socket.
    pub fn ready(&mut self, who: Who, event: Ready) {
        let side = self.side(who);
        side.readable |= event.readable;
        side.ended |= event.ended;
        if event.writable {
            side.flush();
        }
    }

    /// Relays what can be relayed, and closes what can be closed.
    pub fn work(&mut self, context: &mut Context) -> Left {
        for who in BOTH {
            self.pump(who, context);
        }
        while let Some(who) = BOTH.into_iter().find(|who| self.sides[*who as usize].finished()) {
            let failed = self.side(who).failed();
            self.lose(who, failed, context);
        }
        if self.sides.iter().all(Side::lost) {
            return Left::Over;
        }
        self.reschedule(context);
        match BOTH.into_iter().any(|who| self.may_read(who)) {
            true => Left::More,
            false => Left::Nothing,
        }
    }

    /// A side is read only while nothing waits for its peer.
    fn may_read(&self, who: Who) -> bool {
        self.sides[who as usize].can_read() && !self.sides[who.other() as usize].stalled()
    }

    fn pump(&mut self, who: Who, context: &mut Context) {
        let mut buffer = std::mem::take(&mut context.buffer);
        let mut bulk = false;
        for _ in 0..READS {
            if !self.may_read(who) {
                break;
            }
            let come = match bulk {
                true => self.splice(who, &mut buffer, context),
                false => self.read(who, &mut buffer, context),
            };
            match come {
                Ok(None) => break,
                Ok(Some(0)) => self.input_ended(who, context),
                Ok(Some(_)) => bulk = self.has_bulk(who),
                Err(error) => self.lose(who, Some(error), context),
            }
        }
        context.buffer = buffer;
    }

    /// Whether much is to pass unseen, and has come, as far as is known.
    fn has_bulk(&self, who: Who) -> bool {
        let side = &self.sides[who as usize];
        side.readable && side.tracker.large() && side.tracker.unseen() > PIECE as u64
    }

    fn read(&mut self, who: Who, buffer: &mut [u8], context: &mut Context) -> Come {
        let side = self.side(who);
        let most = if side.tracker.large() { PIECE } else { buffer.len() };
        let come = side.read(&mut buffer[..most])?;
        if let Some(size @ 1..) = come {
            self.received(who, &buffer[..size], context);
        }
        Ok(come)
    }

    /// As `read`, but what has come goes around the buffer, as far as there is room behind it.
    fn splice(&mut self, who: Who, buffer: &mut [u8], context: &mut Context) -> Come {
        let pipe = &context.pipe;
        let key = who.other().key(self.token);
        let (side, peer) = self.pair(who);
        let most = side.tracker.unseen().min(buffer.len() as u64) as usize;
        let come = side.fill(pipe, most)?;
        if let Some(size @ 1..) = come {
            let fed = side.tracker.skip(size as u64);
            let rest = &mut buffer[..peer.drain(pipe, size)];
            if !rest.is_empty() {
                pipe.empty(rest);
                peer.write(rest, key, &context.shared.poll, context.now);
            }
            self.passed(who, size, &fed, context);
        }
        Ok(come)
    }

    fn received(&mut self, who: Who, data: &[u8], context: &mut Context) {
        let (poll, now) = (&context.shared.poll, context.now);
        let key = who.other().key(self.token);
        let pings = self.limits.ping_interval != NEVER;
        let own_ping = pings.then(|| context.own_ping(self.token, who));
        let rules = Rules {
            masked: who == Who::Client,
            max_message: self.limits.max_message,
            own_ping: own_ping.as_ref().map(<[u8; 8]>::as_slice),
        };
        let (side, peer) = self.pair(who);
        let mut tracker = std::mem::take(&mut side.tracker);
        let fed = tracker.feed(data, rules, |part| peer.write(part, key, poll, now));
        side.tracker = tracker;
        self.passed(who, data.len(), &fed, context);
    }

    /// So many bytes have come, and were this.
    fn passed(&mut self, who: Who, size: usize, fed: &Fed, context: &mut Context) {
        self.side(who).heard();
        self.counters.count(who, size, fed.messages);
        // A swallowed pong is no activity.
        if fed.data_bytes > 0
            || fed.out && !self.limits.idle_data_only
            || self.side(who).tracker.broken()
        {
            self.counters.set_active(context.now);
        }
        if fed.ponged {
            self.ponged(who, context);
        }
        let tracker = &self.side(who).tracker;
        if tracker.close().is_some() || tracker.muted() {
            self.saw_end(who, context);
        }
    }

    fn write(&mut self, to: Who, data: &[u8], context: &Context) {
        if !data.is_empty() {
            let key = to.key(self.token);
            self.side(to).write(data, key, &context.shared.poll, context.now);
        }
    }

    /// A pong to one of the sidecar's pings has come.
    fn ponged(&mut self, who: Who, context: &mut Context) {
        if self.side(who).ponged() {
            let time = context.now - self.pinged;
            self.counters.set_round_trip(who, time);
            context.told.push(Event::Ponged { token: self.token, who, time });
        }
    }

    // How it ends.

    /// Sends both sides a Close, and cuts after CLOSE_TIMEOUT at most.
    pub fn end(&mut self, reason: &str, code: u16, text: &str, context: &mut Context) {
        if self.end.is_none() {
            let (reason, detail) = (reason.to_owned(), text.to_owned());
            let end = End { reason, initiator: "sidecar", code: Some(code), detail };
            self.end = Some(Box::new(end));
            for who in BOTH {
                self.send_close(who, code, text, context);
            }
        }
        self.cut_in(CLOSE_TIMEOUT, context);
        self.close_if_done(context);
    }

    /// How it has ended, once `work` has found it over.
    pub fn into_end(self, context: &mut Context) -> Box<End> {
        context.timers.cancel(slot(self.token));
        self.end.expect("each loss has settled it")
    }

    /// Sends a Close of the sidecar's own, between two frames of the other side's.
    ///
    /// Whether it has gone out: not yet within a frame, and never where none may be put in.
    fn send_close(&mut self, to: Who, code: u16, text: &str, context: &Context) -> bool {
        let frame = close_frame(code, text, to == Who::Backend);
        let now = self.peer(to).tracker.insert(&frame);
        if now {
            self.write(to, &frame, context);
        }
        now
    }

    /// A Close has come from this side, or something whose size goes beyond the limit or may.
    fn saw_end(&mut self, who: Who, context: &mut Context) {
        let tracker = &self.sides[who as usize].tracker;
        if let Some(close) = tracker.close() {
            let (code, detail) = (close.code, String::from_utf8_lossy(&close.reason).into_owned());
            self.settle(who, code, detail);
            self.close_if_done(context);
        } else if self.end.is_none() {
            let (code, text) = match tracker.too_big() {
                true => (1009, "message is too big"),
                false => (1002, "stream cannot be parsed, and has a limit"),
            };
            self.end("limit", code, text, context);
        }
    }

    /// This side sends nothing more; what it has sent goes out, then its peer learns of it.
    fn input_ended(&mut self, who: Who, context: &mut Context) {
        let side = self.side(who);
        if side.failed().is_some() {
            side.readable = false; // `work` finds that it is finished
            return;
        }
        side.eof = true;
        let held = side.tracker.flush();
        self.write(who.other(), &held, context);
        if !self.tell_client(who, 1001, "backend has ended the connection", context) {
            self.peer(who).end_output();
        }
        self.settle(who, None, String::new());
        self.cut_in(HALF_CLOSE_TIMEOUT, context);
        self.close_if_done(context);
    }

    /// The connection to this side is gone.
    fn lose(&mut self, who: Who, error: Option<Errno>, context: &mut Context) {
        self.side(who).cut(&context.shared.poll);
        if !self.peer(who).lost() {
            self.tell_client(who, 1011, "connection to the backend broke", context);
            let told = self.told(who.other());
            let peer = self.peer(who);
            if peer.done() || !told {
                peer.close();
            }
            self.cut_in(CLOSE_TIMEOUT, context);
        }
        let detail = error.map(|error| io::Error::from(error).to_string());
        self.settle(who, None, detail.unwrap_or_default());
    }

    /// Whether a Close has gone out to this side, which is to answer it.
    fn told(&mut self, who: Who) -> bool {
        let into = &self.peer(who).tracker;
        into.muted() || into.close().is_some()
    }

    /// Whether the client got a Close for the loss of the backend, and is to answer it.
    ///
    /// Where the backend was lost within a frame none can be sent; the end of input says it then.
    fn tell_client(&mut self, lost: Who, code: u16, text: &str, context: &Context) -> bool {
        lost == Who::Backend
            && self.end.is_none()
            && self.send_close(Who::Client, code, text, context)
    }

    /// The first cause of the end is the one that counts.
    fn settle(&mut self, who: Who, code: Option<u16>, detail: String) {
        let name = who.name();
        self.end.get_or_insert_with(|| {
            Box::new(End { reason: name.to_owned(), initiator: name, code, detail })
        });
    }

    /// Closes each connection whose side is done, and gets nothing more than what waits.
    fn close_if_done(&mut self, context: &Context) {
        for who in BOTH {
            let peer = self.peer(who);
            let nothing_comes = peer.done() || peer.tracker.muted();
            let side = self.side(who);
            if nothing_comes && side.done() && !side.lost() {
                side.close();
                self.cut_in(CLOSE_TIMEOUT, context);
            }
        }
    }

    // What the clock asks.

    fn cut_in(&mut self, time: Micros, context: &Context) {
        self.cut_at = self.cut_at.min(context.now + time);
    }

    /// Does what is due, before `work`.
    pub fn due(&mut self, context: &mut Context) {
        if self.cut_at != NEVER {
            if context.now >= self.cut_at {
                self.abort(context);
            }
        } else if self.sides.iter_mut().any(|side| side.gave_up(context.now)) {
            let detail = "a side does not read".to_owned();
            let reason = "error".to_owned();
            self.end = Some(Box::new(End { reason, initiator: "sidecar", code: None, detail }));
            self.abort(context);
        } else {
            self.live_on(context);
        }
    }

    fn abort(&mut self, context: &Context) {
        for side in &mut self.sides {
            side.cut(&context.shared.poll);
        }
    }

    fn live_on(&mut self, context: &mut Context) {
        match self.limits.due(&self.moments(), context.now) {
            Some(Due::Age) => {
                self.end("max_duration", 1001, "connection reached its maximum duration", context);
            }
            Some(Due::Idle) => {
                self.end("idle", 1001, "connection was idle for too long", context);
            }
            Some(Due::Pong) => self.pong_is_late(context),
            Some(Due::Ping) => {
                self.pinged = context.now;
                for who in BOTH {
                    self.send_ping(who, context);
                }
            }
            None => {}
        }
    }

    /// Awaits an answer to a ping that is sent now.
    ///
    /// No ping goes to a side that could not be blamed for its silence: in the middle of a frame,
    /// after a Close, where no frames are spoken, before what waits for it, and while it is not
    /// read, as something waits for its peer.
    fn send_ping(&mut self, to: Who, context: &Context) {
        let barred =
            |side: &Side| side.stalled() || side.tracker.broken() || side.tracker.close().is_some();
        let at_boundary = self.peer(to).tracker.at_boundary();
        if self.sides.iter().any(barred) || !at_boundary {
            return self.side(to).not_pinged();
        }
        self.side(to).pinged();
        let frame = ping_frame(&context.own_ping(self.token, to), to == Who::Backend);
        if self.peer(to).tracker.insert(&frame) {
            self.write(to, &frame, context);
        }
    }

    /// A side that has sent anything since the ping lives, however busy it is.
    fn pong_is_late(&mut self, context: &mut Context) {
        let dead = BOTH.map(|who| self.side(who).is_dead().then_some(who));
        if let Some(who) = dead.into_iter().flatten().next() {
            let text = format!("no answer to a ping by the {}", who.name());
            self.end("ping_timeout", 1011, &text, context);
        }
    }

    fn moments(&self) -> Moments {
        Moments {
            expires: self.expires,
            active: self.counters.active(),
            pinged: self.pinged,
            awaiting: self.sides.iter().any(Side::awaited),
        }
    }

    /// Has `due` called when something may be due.
    fn reschedule(&mut self, context: &mut Context) {
        let when = match self.cut_at {
            NEVER => {
                let stall = self.sides.iter().map(Side::stall_deadline).min().unwrap_or(NEVER);
                stall.min(self.limits.next(&self.moments()))
            }
            cut_at => cut_at,
        };
        context.timers.bring_forward(slot(self.token), when);
    }
}
