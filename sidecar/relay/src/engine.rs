//! The engine's thread: it waits for whatever comes, and gives it to the call or tunnel it is for.

use std::sync::Arc;

use rustix::io::Result;

use crate::call::{Call, Client, Outcome};
use crate::context::Context;
use crate::shared::{Adoption, BELL, Command, Event, Token, Who, slot};
use crate::sys::{Ready, clock};
use crate::tunnel::{Left, Tunnel};

#[derive(Default)]
#[allow(clippy::large_enum_variant)] // most entries are tunnels, and a box of its own costs each
enum Entry {
    #[default]
    Free,
    Call(Box<Call>),
    Tunnel(Tunnel),
}

pub struct Engine {
    entries: Vec<Entry>,
    /// Tunnels that have more to read.
    again: Vec<Token>,
    context: Context,
    stopped: bool,
}

impl Engine {
    pub fn new(context: Context) -> Self {
        Self { entries: Vec::new(), again: Vec::new(), context, stopped: false }
    }

    /// Runs until it is told to stop.
    pub fn run(&mut self) -> Result<()> {
        let mut ready = Vec::new();
        while !self.stopped {
            self.turn(&mut ready)?;
        }
        Ok(())
    }

    fn turn(&mut self, ready: &mut Vec<Ready>) -> Result<()> {
        let idle_until = match self.again.is_empty() {
            true => self.context.timers.next().min(self.context.told.due()),
            false => 0,
        };
        let commands = self.context.shared.commands(idle_until);
        let until = if commands.is_empty() { idle_until } else { 0 };
        self.obey(commands);
        self.context.shared.poll.wait(until, ready)?;
        self.context.now = clock();
        let commands = self.context.shared.commands(0);
        self.obey(commands);
        for event in ready.iter().filter(|event| event.key != BELL) {
            self.happened(*event);
        }
        for token in std::mem::take(&mut self.again) {
            self.work(token);
        }
        while let Some(slot) = self.context.timers.due(self.context.now) {
            self.due(slot);
        }
        if self.context.told.due() <= self.context.now {
            self.context.told.deliver(&self.context.shared, self.context.now);
        }
        Ok(())
    }

    fn entry(&mut self, token: Token) -> &mut Entry {
        let slot = slot(token);
        if slot >= self.entries.len() {
            self.entries.resize_with(slot + 1, Entry::default);
        }
        &mut self.entries[slot]
    }

    fn call(&mut self, token: Token) -> Option<(&mut Call, &mut Context)> {
        match self.entries.get_mut(slot(token)) {
            Some(Entry::Call(call)) if call.token == token => Some((call, &mut self.context)),
            _ => None,
        }
    }

    fn tunnel(&mut self, token: Token) -> Option<(&mut Tunnel, &mut Context)> {
        match self.entries.get_mut(slot(token)) {
            Some(Entry::Tunnel(tunnel)) if tunnel.token == token => {
                Some((tunnel, &mut self.context))
            }
            _ => None,
        }
    }

    fn obey(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Call(mut call) => {
                    let token = call.token;
                    let failed = call.start(&self.context.shared.poll, &mut self.context.timers);
                    *self.entry(token) = Entry::Call(call);
                    self.came_of_call(token, failed);
                }
                Command::Resume { token, rest } => {
                    if let Some((call, context)) = self.call(token) {
                        call.resume(rest, &mut context.timers);
                        self.work_on_call(token);
                    }
                }
                Command::Cancel { token } => self.cancel(token),
                Command::Adopt(client, adoption) => {
                    let token = adoption.token;
                    if let (Some((call, _)), Some(socket)) = (self.call(token), client) {
                        call.client = Some(Client { socket, terms: None });
                    }
                    self.adopt(*adoption);
                }
                Command::End { token, reason, code, text } => {
                    if let Some((tunnel, context)) = self.tunnel(token) {
                        tunnel.end(&reason, code, &text, context);
                        self.work(token);
                    }
                }
                Command::Stop => self.stopped = true,
            }
        }
    }

    fn happened(&mut self, event: Ready) {
        let (token, who) = Who::of(event.key);
        if let Some((tunnel, _)) = self.tunnel(token) {
            tunnel.ready(who, event);
            self.work(token);
        } else if let Some((call, _)) = self.call(token) {
            call.ready(who, event);
            self.work_on_call(token);
        }
    }

    fn work(&mut self, token: Token) {
        let Some((tunnel, context)) = self.tunnel(token) else { return };
        match tunnel.work(context) {
            Left::Nothing => {}
            Left::More => self.again.push(token),
            Left::Over => {
                if let Entry::Tunnel(tunnel) = std::mem::take(self.entry(token)) {
                    let end = tunnel.into_end(&mut self.context);
                    self.context.told.push(Event::Ended { token, end });
                }
            }
        }
    }

    fn due(&mut self, slot: usize) {
        match &mut self.entries[slot] {
            Entry::Tunnel(tunnel) => {
                tunnel.due(&mut self.context);
                let token = tunnel.token;
                self.work(token);
            }
            Entry::Call(call) => {
                let (token, late) = (call.token, call.late());
                self.came_of_call(token, Some(late));
            }
            Entry::Free => {} // who goes has cancelled its deadline
        }
    }

    fn work_on_call(&mut self, token: Token) {
        if let Some((call, context)) = self.call(token) {
            let outcome = call.work(context);
            self.came_of_call(token, outcome);
        }
    }

    fn came_of_call(&mut self, token: Token, outcome: Option<Outcome>) {
        match outcome {
            None => {}
            Some(Outcome::Told(event)) => self.context.told.push(event),
            Some(Outcome::Opens { adoption, subprotocol }) => {
                let counters = Arc::clone(&adoption.counters);
                self.context.told.push(Event::Opened { token, counters, subprotocol });
                self.adopt(*adoption);
            }
        }
    }

    fn adopt(&mut self, adoption: Adoption) {
        let token = adoption.token;
        let Entry::Call(call) = std::mem::take(self.entry(token)) else {
            unreachable!("what is adopted was called, and has answered")
        };
        let tunnel = Tunnel::new(adoption, *call, &mut self.context);
        *self.entry(token) = Entry::Tunnel(tunnel);
        self.work(token);
    }

    fn cancel(&mut self, token: Token) {
        if self.call(token).is_none() {
            return;
        }
        if let Entry::Call(call) = std::mem::take(self.entry(token)) {
            call.cancel(&self.context.shared.poll, &mut self.context.timers);
        }
        self.context.shared.forget(token);
    }
}
