//! One client's connection: the handshake, messages out, and every echo compared with what went out.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Instant;

use crate::digest::base64;
use crate::frame::{BINARY, CLOSE, Decoder, FrameHead, PING, PONG, Part, apply_mask};
use crate::handshake::{Head, request};
use crate::link::Link;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::sys::{Epoll, Interest, random};

/// What reading from a tunnel has brought.
pub enum Event {
    Opened,
    /// An echo, whole and right, of the message that was due at this time.
    Echoed(Instant),
    Pong,
    /// The close handshake is done; the connection may go.
    Ended,
}

pub struct Tunnel {
    plan: Rc<Plan>,
    link: Link,
    token: usize,
    key: String,
    /// The response so far, until it is whole.
    response: Option<Vec<u8>>,
    decoder: Decoder,
    sent: u32,
    /// When the messages without an echo were due.
    in_flight: VecDeque<Instant>,
    /// How much of the current echo has come.
    offset: usize,
    /// The payload of the current control frame.
    control: Vec<u8>,
    close_sent: bool,
}

impl Tunnel {
    /// Connects and asks for the upgrade.
    pub fn connect(plan: Rc<Plan>, epoll: &Epoll, token: usize) -> Outcome<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, plan.port));
        // On loopback the kernel answers a connect at once.
        let stream = TcpStream::connect(address)?;
        let mut link = Link::new(stream, epoll, token, Interest::Both)?;
        let key = base64(&random::<16>()?);
        link.queue(Rc::new(request(&address.to_string(), &key).into_bytes()));
        link.flush(epoll)?;
        Ok(Self {
            plan,
            link,
            token,
            key,
            response: Some(vec![]),
            decoder: Decoder::default(),
            sent: 0,
            in_flight: VecDeque::new(),
            offset: 0,
            control: vec![],
            close_sent: false,
        })
    }

    /// Sends the next message, which was due at `due`.
    pub fn send(&mut self, epoll: &Epoll, due: Instant) -> Outcome {
        let mut stamp = self.plan.stamp(self.token, self.sent);
        apply_mask(&mut stamp, self.plan.mask, 0);
        self.link.queue(Rc::new(self.frame(BINARY, self.plan.size(), &stamp)));
        self.link.queue(Rc::clone(&self.plan.masked));
        self.sent += 1;
        self.in_flight.push_back(due);
        Ok(self.link.flush(epoll)?)
    }

    pub fn ping(&mut self, epoll: &Epoll) -> Outcome {
        self.send_control(epoll, PING, vec![])
    }

    /// Begins the close handshake with code 1000.
    pub fn close(&mut self, epoll: &Epoll) -> Outcome {
        self.close_sent = true;
        self.send_control(epoll, CLOSE, 1000u16.to_be_bytes().to_vec())
    }

    fn send_control(&mut self, epoll: &Epoll, opcode: u8, mut payload: Vec<u8>) -> Outcome {
        apply_mask(&mut payload, self.plan.mask, 0);
        self.link.queue(Rc::new(self.frame(opcode, payload.len(), &payload)));
        Ok(self.link.flush(epoll)?)
    }

    /// A frame of `length` bytes, as far as `masked` goes.
    fn frame(&self, opcode: u8, length: usize, masked: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(14 + masked.len());
        FrameHead::whole(opcode, length as u64, Some(self.plan.mask)).write(&mut frame);
        frame.extend_from_slice(masked);
        frame
    }

    /// Takes what has come; an event for everything that it completes.
    pub fn advance(
        &mut self,
        epoll: &Epoll,
        buffer: &mut [u8],
        events: &mut Vec<Event>,
    ) -> Outcome {
        self.link.flush(epoll)?;
        match self.link.read(buffer)? {
            None => Ok(()),
            Some(0) => Err("connection ended without a Close frame".into()),
            Some(size) => self.take(epoll, &mut buffer[..size], events),
        }
    }

    fn take(&mut self, epoll: &Epoll, bytes: &mut [u8], events: &mut Vec<Event>) -> Outcome {
        let Some(response) = &mut self.response else {
            return self.take_frames(epoll, bytes, events);
        };
        response.extend_from_slice(bytes);
        let Some(head) = Head::take(response)? else { return Ok(()) };
        head.opens(&self.key)?;
        events.push(Event::Opened);
        let mut early = self.response.take().unwrap_or_default();
        self.take_frames(epoll, &mut early, events)
    }

    fn take_frames(&mut self, epoll: &Epoll, bytes: &mut [u8], events: &mut Vec<Event>) -> Outcome {
        let mut decoder = std::mem::take(&mut self.decoder);
        let outcome = decoder.feed(bytes, |part| match part {
            Part::Head(head) => self.check(head),
            Part::Data(head, data) => self.collect(head, data),
            Part::End(head) => self.complete(epoll, head, events),
        });
        self.decoder = decoder;
        outcome
    }

    fn check(&mut self, head: FrameHead) -> Outcome {
        (self.offset, self.control) = (0, vec![]);
        let expected = match head.opcode {
            BINARY => {
                head == FrameHead::whole(BINARY, self.plan.size() as u64, None)
                    && !self.in_flight.is_empty()
            }
            opcode => head.mask.is_none() && matches!(opcode, PING | PONG | CLOSE),
        };
        if expected { Ok(()) } else { Err(format!("frame that no one sent: {head:?}").into()) }
    }

    fn collect(&mut self, head: FrameHead, data: &[u8]) -> Outcome {
        if head.opcode != BINARY {
            self.control.extend_from_slice(data);
            return Ok(());
        }
        let number = self.sent - self.in_flight.len() as u32;
        if !self.plan.matches(self.plan.stamp(self.token, number), self.offset, data) {
            return Err(format!("echo {number} differs from what was sent").into());
        }
        self.offset += data.len();
        Ok(())
    }

    fn complete(&mut self, epoll: &Epoll, head: FrameHead, events: &mut Vec<Event>) -> Outcome {
        match head.opcode {
            BINARY => events.extend(self.in_flight.pop_front().map(Event::Echoed)),
            PONG => events.push(Event::Pong),
            PING => {
                let payload = std::mem::take(&mut self.control);
                self.send_control(epoll, PONG, payload)?;
            }
            _ if self.close_sent => events.push(Event::Ended),
            _ => return Err(format!("closed early with the payload {:?}", self.control).into()),
        }
        Ok(())
    }
}
