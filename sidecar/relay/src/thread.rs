//! Starting the engine's thread, and what becomes of the process when it fails.

use std::io;
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, Once};
use std::thread;

use crate::context::Context;
use crate::engine::Engine;
use crate::shared::Shared;
use crate::sys;

const NAME: &str = "wsroute-relay";

/// EX_SOFTWARE of sysexits.h.
const STATUS: i32 = 70;

/// Runs `engine` of `shared` on a thread of its own.
pub fn start(shared: Arc<Shared>) -> io::Result<()> {
    let context = Context::new(shared)?;
    spawn(move || {
        sys::ask_for_short_turns();
        Engine::new(context).run().expect("epoll takes a wait")
    })
}

/// Runs `work` on a thread whose panic ends the process.
pub fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| match thread::current().name() {
            Some(NAME) => die(info),
            _ => others(info),
        }));
    });
    thread::Builder::new().name(NAME.to_owned()).spawn(work).map(drop)
}

fn die(info: &PanicHookInfo) {
    let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
    let (place, payload) = (place.unwrap_or_default(), info.payload());
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let why = text.or(payload.downcast_ref().copied()).unwrap_or("no reason given");
    eprintln!("wsroute-sidecar: the relay engine has failed, and ends the process: {why}{place}");
    sys::exit(STATUS);
}
