//! A WebSocket echo backend and the load for it: `wsroute-load MODE [--option value]...`
//!
//! serve   the backend; prints its port, then its counters for every line of standard input
//! echo    --tunnels --size --seconds            closed loop: as fast as the echoes come
//! pace    --tunnels --size --seconds --rate     open loop: so many messages a second in all
//! idle    --tunnels --seconds [--rate]          tunnels that only ping, so many pings a second
//! open    --count                               open, echo one message, close
//!
//! All but `serve` take --port, print a line of JSON when their tunnels are ready, begin
//! when a line comes on standard input, print the result as a line of JSON, and keep their tunnels
//! until another line comes. Every echo is compared with what was sent; the first fault ends the
//! run with status 1.

mod client;
mod digest;
mod frame;
mod handshake;
mod histogram;
mod link;
mod outcome;
mod plan;
mod server;
mod sys;
mod tunnel;

use std::collections::HashMap;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use client::{Beat, Client};
use outcome::Outcome;
use plan::Plan;

/// A closed loop this long before the measured one lets buffers and windows find their size.
const WARM_UP: Duration = Duration::from_millis(300);

struct Options(HashMap<String, String>);

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut options = HashMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("not an option: {word}"))?;
            let value = words.next().ok_or_else(|| format!("--{name} needs a value"))?;
            options.insert(name.to_owned(), value);
        }
        Ok(Self(options))
    }

    fn get<T: FromStr>(&self, name: &str, default: T) -> Outcome<T> {
        let Some(text) = self.0.get(name) else { return Ok(default) };
        text.parse().map_err(|_| format!("--{name}: {text}").into())
    }
}

fn run(mode: &str, options: &Options) -> Outcome {
    let size = options.get("size", 128)?;
    let mut client = Client::new(Plan::new(options.get("port", 0)?, size)?)?;
    if mode != "open" {
        client.open(options.get("tunnels", 1)?)?;
    }
    if matches!(mode, "echo" | "pace") {
        client.saturate(WARM_UP)?;
    }
    println!(r#"{{"messages":{},"bytes":{}}}"#, client.messages, client.messages * size as u64);
    await_line()?;

    client.reset();
    let start = Instant::now();
    load(&mut client, mode, options)?;
    report(&client, size as u64, start.elapsed());
    await_line()
}

fn load(client: &mut Client, mode: &str, options: &Options) -> Outcome {
    let seconds: f64 = options.get("seconds", 1.0)?;
    let rate: f64 = options.get("rate", 0.0)?;
    let (beats, time) = ((seconds * rate).ceil() as u64, Duration::from_secs_f64(seconds));
    let interval = || Duration::from_secs_f64(rate.recip());
    match mode {
        "echo" => client.saturate(time),
        "pace" => client.beat(Beat::Message, beats, interval()),
        "idle" if beats > 0 => client.beat(Beat::Ping, beats, interval()),
        "idle" => client.rest(time),
        "open" => client.open_and_close(options.get("count", 1)?),
        _ => Err("no such mode".into()),
    }
}

fn report(client: &Client, size: u64, elapsed: Duration) {
    let micros = |nanos| nanos as f64 / 1e3;
    let quantile = |share| micros(client.latency.quantile(share));
    println!(
        r#"{{"seconds":{:.6},"messages":{},"bytes":{},"pongs":{},"p50":{},"p99":{},"p999":{},"max":{}}}"#,
        elapsed.as_secs_f64(),
        client.messages,
        client.messages * size,
        client.pongs,
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        micros(client.latency.max()),
    );
}

fn await_line() -> Outcome {
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let mode = words.next().unwrap_or_default();
    let outcome = match mode.as_str() {
        "serve" => server::serve(),
        mode => Options::parse(words).and_then(|options| run(mode, &options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("wsroute-load {mode}: {fault}");
            ExitCode::FAILURE
        }
    }
}
