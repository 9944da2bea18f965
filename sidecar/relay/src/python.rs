//! The module `wsroute_sidecar._relay`; `native.py` is what uses it.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, Mutex};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple, PyType};
use rustix::io::Errno;

use crate::limits::Limits;
use crate::shared::{Adoption, Command, Counters, Event, Failure, SLOT_BITS, Shared, Token, Who};
use crate::sys::{Micros, NEVER, Socket, clock};
use crate::{call, frames, sys, thread};

#[pymodule]
mod _relay {
    #[pymodule_export]
    use super::{Relay, Tunnel, accept};

    #[pymodule_export]
    pub const SLOT_MASK: u64 = (1 << super::SLOT_BITS) - 1;
}

/// Up to `most` connections from `listener`: descriptor, peer's address, and what has come.
#[pyfunction]
fn accept<'py>(
    py: Python<'py>,
    listener: RawFd,
    most: usize,
) -> PyResult<Vec<(RawFd, String, Bound<'py, PyBytes>)>> {
    let accepted = py.detach(|| sys::accept(listener, most)).map_err(os_error)?;
    let told = accepted.into_iter();
    Ok(told.map(|each| (each.fd, each.peer, PyBytes::new(py, &each.data))).collect())
}

/// The names of calls and tunnels. A slot is free again once nothing of it comes any more.
#[derive(Default)]
struct Slots {
    free: Vec<u64>,
    used: u64,
    named: u64,
}

impl Slots {
    fn take(&mut self) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            self.used - 1
        });
        self.named += 1;
        self.named << SLOT_BITS | slot
    }

    fn put_back(&mut self, token: Token) {
        self.free.push(token & _relay::SLOT_MASK);
    }
}

/// An engine, on a thread of its own.
#[pyclass(frozen)]
struct Relay {
    shared: Arc<Shared>,
    slots: Mutex<Slots>,
}

#[pymethods]
impl Relay {
    #[new]
    fn new() -> PyResult<Self> {
        let shared = Arc::new(Shared::new().map_err(os_error)?);
        thread::start(Arc::clone(&shared))?;
        Ok(Self { shared, slots: Mutex::default() })
    }

    fn fileno(&self) -> RawFd {
        self.shared.alarm.as_fd().as_raw_fd()
    }

    #[pyo3(signature = (host, port, head, timeout, client))]
    fn call(
        &self,
        host: &str,
        port: u16,
        head: &[u8],
        timeout: Option<f64>,
        client: Option<RawFd>,
    ) -> PyResult<Token> {
        let host: IpAddr = host.parse().map_err(|_| PyValueError::new_err("no IP address"))?;
        let deadline = clock().saturating_add(micros(timeout));
        let token = self.slots().take();
        let address = SocketAddr::new(host, port);
        call::begin(&self.shared, token, address, head, deadline, client).map_err(|error| {
            self.slots().put_back(token);
            os_error(error)
        })?;
        Ok(token)
    }

    fn resume(&self, token: Token, rest: &[u8]) {
        self.shared.post(Command::Resume { token, rest: rest.to_vec() }, 0);
    }

    fn cancel(&self, token: Token) {
        self.slots().put_back(token);
        self.shared.post(Command::Cancel { token }, 0);
    }

    fn adopt(
        &self,
        token: Token,
        client: RawFd,
        head: &[u8],
        early: (Vec<u8>, Vec<u8>),
        limits: PyLimits,
    ) -> PyResult<Tunnel> {
        let client = Socket::take(client).map_err(os_error)?;
        let counters = Arc::new(Counters::new(clock()));
        let limits = Limits::from(limits);
        let early = early.into();
        let tunnel =
            Tunnel { token, shared: Arc::clone(&self.shared), counters: Arc::clone(&counters) };
        let adoption = Adoption { token, limits, counters, rest: Vec::new(), early };
        adoption.begin(&self.shared, client, head).map_err(os_error)?;
        Ok(tunnel)
    }

    fn events<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let events = self.shared.events(most);
        for event in &events {
            if let Event::Ended { token, .. } = event {
                self.slots().put_back(*token);
            }
        }
        events.into_iter().map(|event| told(py, event)).collect()
    }

    fn close(&self) {
        self.shared.post(Command::Stop, 0);
    }
}

impl Relay {
    fn slots(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.slots.lock().expect("nothing panics while it is held")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.close();
    }
}

/// An event as Python gets it: its name, the token, and what there is to say.
fn told(py: Python<'_>, event: Event) -> PyResult<Bound<'_, PyTuple>> {
    match event {
        Event::Answered { token, received, fd } => {
            ("answered", token, PyBytes::new(py, &received), fd).into_pyobject(py)
        }
        Event::Failed { token, failure } => {
            let (name, errno) = match failure {
                Failure::Unreachable(error) => ("unreachable", error.raw_os_error()),
                Failure::Closed => ("closed", 0),
                Failure::Late => ("late", 0),
                Failure::Left => ("left", 0),
            };
            (name, token, errno).into_pyobject(py)
        }
        Event::Ponged { token, who, time } => {
            ("ponged", token, who.name(), seconds(time)).into_pyobject(py)
        }
        Event::Ended { token, end } => {
            ("ended", token, end.reason, end.initiator, end.code, end.detail).into_pyobject(py)
        }
    }
}

/// A live tunnel, or what is remembered of one.
#[pyclass(frozen)]
struct Tunnel {
    token: Token,
    shared: Arc<Shared>,
    counters: Arc<Counters>,
}

#[pymethods]
impl Tunnel {
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static STATS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let counters = &self.counters;
        let rtt = |who| counters.round_trip(who).map(|time| seconds(time.into()));
        STATS.import(py, "wsroute_sidecar.relay_types", "Stats")?.call1((
            seconds(counters.opened),
            seconds(counters.active()),
            counters.received(Who::Client),
            counters.received(Who::Backend),
            counters.messages(Who::Client),
            counters.messages(Who::Backend),
            rtt(Who::Client),
            rtt(Who::Backend),
        ))
    }

    fn end(&self, reason: String, code: u16, text: &Bound<'_, PyString>) -> PyResult<()> {
        if !frames::is_sendable(code) {
            let why = format!("{code} is not a close code that may be sent");
            return Err(PyValueError::new_err(why));
        }
        let text = text.to_string_lossy().into_owned();
        self.shared.post(Command::End { token: self.token, reason, code, text }, 0);
        Ok(())
    }
}

/// `relay_types.Limits`.
#[derive(FromPyObject)]
struct PyLimits {
    idle: Option<f64>,
    idle_data_only: bool,
    max_age: Option<f64>,
    ping_interval: Option<f64>,
    pong_timeout: Option<f64>,
    max_message: Option<u64>,
}

impl From<PyLimits> for Limits {
    fn from(limits: PyLimits) -> Self {
        Self {
            idle: micros(limits.idle),
            max_age: micros(limits.max_age),
            ping_interval: micros(limits.ping_interval),
            pong_timeout: micros(limits.pong_timeout),
            max_message: limits.max_message,
            idle_data_only: limits.idle_data_only,
        }
    }
}

fn micros(seconds: Option<f64>) -> Micros {
    seconds.map_or(NEVER, |seconds| (seconds * 1e6) as Micros)
}

fn seconds(time: Micros) -> f64 {
    time as f64 / 1e6
}

fn os_error(error: Errno) -> PyErr {
    let words = std::io::Error::from(error).to_string();
    let words = words.split(" (os error").next().map(str::to_owned);
    PyOSError::new_err((error.raw_os_error(), words))
}
