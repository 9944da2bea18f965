//! The backend: a WebSocket server that echoes every frame once it has it whole.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::rc::Rc;

use crate::frame::{CLOSE, Decoder, FrameHead, PING, PONG, Part};
use crate::handshake::{Head, response};
use crate::link::Link;
use crate::outcome::Outcome;
use crate::sys::{Epoll, Interest};

const LISTENER: usize = 0;
const STDIN: usize = 1;
const BUFFER: usize = 256 * 1024;

#[derive(Clone, Copy, Default)]
struct Counters {
    accepted: u64,
    messages: u64,
    bytes: u64,
    pings: u64,
}

impl Counters {
    fn count(&mut self, frame: FrameHead) {
        match frame.opcode {
            CLOSE | PONG => {}
            PING => self.pings += 1,
            _ => {
                self.messages += 1;
                self.bytes += frame.length;
            }
        }
    }
}

struct Connection {
    link: Link,
    /// The request so far, until it is whole.
    request: Option<Vec<u8>>,
    decoder: Decoder,
    echo: Vec<u8>,
    closing: bool,
}

impl Connection {
    /// Takes what has come and answers; false when the connection is over.
    fn serve(
        &mut self,
        epoll: &Epoll,
        buffer: &mut [u8],
        counters: &mut Counters,
    ) -> Outcome<bool> {
        self.link.flush(epoll)?;
        // A client that does not read is not read from either.
        if !self.link.is_blocked() {
            match self.link.read(buffer)? {
                None => return Ok(true),
                Some(0) => return Ok(false),
                Some(size) => self.take(&mut buffer[..size], counters)?,
            }
            self.link.flush(epoll)?;
        }
        Ok(!self.closing || self.link.is_blocked())
    }

    fn take(&mut self, bytes: &mut [u8], counters: &mut Counters) -> Outcome {
        let Some(request) = &mut self.request else { return self.echo_frames(bytes, counters) };
        request.extend_from_slice(bytes);
        let Some(head) = Head::take(request)? else { return Ok(()) };
        let key = head.header("sec-websocket-key").ok_or("request without a key")?;
        self.link.queue(Rc::new(response(key).into_bytes()));
        let mut early = self.request.take().unwrap_or_default();
        self.echo_frames(&mut early, counters)
    }

    fn echo_frames(&mut self, bytes: &mut [u8], counters: &mut Counters) -> Outcome {
        let Self { link, decoder, echo, closing, .. } = self;
        decoder.feed(bytes, |part| {
            match part {
                Part::Head(head) if head.mask.is_none() => {
                    return Err("frame without a mask".into());
                }
                Part::Head(head) => {
                    let opcode = if head.opcode == PING { PONG } else { head.opcode };
                    FrameHead { opcode, mask: None, ..head }.write(echo);
                }
                Part::Data(_, data) => echo.extend_from_slice(data),
                Part::End(head) => {
                    link.queue(Rc::new(std::mem::take(echo)));
                    counters.count(head);
                    *closing |= head.opcode == CLOSE;
                }
            }
            Ok(())
        })
    }
}

struct Server {
    listener: TcpListener,
    epoll: Epoll,
    connections: HashMap<usize, Connection>,
    next_token: usize,
    counters: Counters,
    buffer: Vec<u8>,
}

impl Server {
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let connection = Connection {
                link: Link::new(stream, &self.epoll, self.next_token, Interest::Write)?,
                request: Some(vec![]),
                decoder: Decoder::default(),
                echo: vec![],
                closing: false,
            };
            self.connections.insert(self.next_token, connection);
            self.next_token += 1;
            self.counters.accepted += 1;
        }
    }

    fn serve(&mut self, token: usize) {
        let Self { epoll, connections, counters, buffer, .. } = self;
        let Some(connection) = connections.get_mut(&token) else { return };
        // A client that breaks off or talks nonsense ends its own connection only.
        if !connection.serve(epoll, buffer, counters).unwrap_or(false) {
            connections.remove(&token);
        }
    }

    fn report(&self) {
        let Counters { accepted, messages, bytes, pings } = self.counters;
        let open = self.connections.len();
        println!(
            r#"{{"accepted":{accepted},"open":{open},"messages":{messages},"bytes":{bytes},"pings":{pings}}}"#
        );
    }
}

/// Serves until standard input ends; says its port first, and its counters at every line read.
pub fn serve() -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    println!(r#"{{"port":{}}}"#, listener.local_addr()?.port());
    let epoll = Epoll::new()?;
    epoll.add(&listener, LISTENER, Interest::Read)?;
    epoll.add(&io::stdin(), STDIN, Interest::Read)?;
    let (connections, counters, buffer) = (HashMap::new(), Counters::default(), vec![0; BUFFER]);
    let next_token = STDIN + 1;
    let mut server = Server { listener, epoll, connections, next_token, counters, buffer };
    let mut ready = vec![];
    loop {
        server.epoll.wait(None, &mut ready)?;
        for token in &ready {
            match *token {
                STDIN if io::stdin().read_line(&mut String::new())? == 0 => return Ok(()),
                STDIN => server.report(),
                LISTENER => server.accept()?,
                token => server.serve(token),
            }
        }
    }
}
