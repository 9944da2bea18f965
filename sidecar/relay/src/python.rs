//! The module `wsroute_sidecar._relay`; `native.py` is what uses it.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, Mutex};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple, PyType};
use rustix::io::Errno;

use crate::call::Terms;
use crate::limits::{Known, Limits};
use crate::request::{self, Forwarding};
use crate::shared::{Adoption, Command, Counters, Event, Failure, Shared, Token, Who, lock};
use crate::sys::{Micros, NEVER, Socket, clock};
use crate::{answer, call, frames, sys, thread};

#[pymodule]
mod _relay {
    #[pymodule_export]
    use super::{Relay, Request, Tunnel, accept, opening};

    #[pymodule_export]
    pub const SLOT_MASK: u64 = crate::shared::SLOT_MASK;
}

/// Up to `most` connections from `listener`: descriptor, peer's address, and what has come, which
/// is a request where it is a plain one to upgrade.
#[pyfunction]
fn accept<'py>(
    py: Python<'py>,
    listener: RawFd,
    most: usize,
) -> PyResult<Vec<(RawFd, String, Bound<'py, PyAny>)>> {
    let accepted = py.detach(|| {
        let accepted = sys::accept(listener, most)?.into_iter();
        Ok(accepted.map(|each| (each.fd, each.peer, request::Request::plain(each.data))).collect())
    });
    let accepted: Vec<_> = accepted.map_err(os_error)?;
    let told = accepted.into_iter().map(|(fd, peer, sent)| {
        let sent = match sent {
            Ok(request) => Bound::new(py, Request(request))?.into_any(),
            Err(data) => PyBytes::new(py, &data).into_any(),
        };
        Ok((fd, peer, sent))
    });
    told.collect()
}

/// `answer::opening`, which tests hold to the interpreter's rules.
#[pyfunction]
fn opening<'py>(
    py: Python<'py>,
    received: &[u8],
    accept: &[u8],
) -> Option<(Bound<'py, PyBytes>, String, usize)> {
    let opening = answer::opening(received, accept)?;
    Some((PyBytes::new(py, &opening.head), opening.subprotocol, opening.size))
}

/// A plain request to upgrade: a `requests.Head` and a `handshake.Upgrade` in one.
#[pyclass(frozen)]
struct Request(request::Request);

#[pymethods]
impl Request {
    #[new]
    fn new(received: Vec<u8>) -> PyResult<Self> {
        let plain = request::Request::plain(received).map(Self);
        plain.map_err(|_| PyValueError::new_err("no plain request to upgrade"))
    }

    #[getter]
    fn received(&self) -> &[u8] {
        self.0.received()
    }

    #[getter]
    fn early(&self) -> &[u8] {
        self.0.early()
    }

    #[getter]
    fn accept(&self) -> &[u8] {
        self.0.accept.as_bytes()
    }

    #[getter]
    fn subprotocols<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.subprotocols().collect::<Vec<_>>())
    }

    #[getter]
    fn method(&self) -> &'static str {
        "GET"
    }

    #[getter]
    fn target(&self) -> &str {
        self.0.target()
    }

    #[getter]
    fn path(&self) -> &str {
        self.0.path()
    }

    #[getter]
    fn query(&self) -> &str {
        self.0.query()
    }

    #[getter]
    fn host(&self) -> &str {
        self.0.host()
    }

    #[getter]
    fn hostname(&self) -> String {
        self.0.hostname()
    }

    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let bytes = |bytes| PyBytes::new(py, bytes);
        self.0.fields().map(|(name, value)| (bytes(name), bytes(value))).collect()
    }

    #[getter]
    fn options<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let options = self.0.options();
        options.map(|option| PyBytes::new(py, &option.to_ascii_lowercase())).collect()
    }

    #[getter]
    fn fields(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn get<'py>(
        &self,
        py: Python<'py>,
        name: &[u8],
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let values: Vec<_> = self.0.values(name).map(|value| PyBytes::new(py, value)).collect();
        match values.is_empty() {
            true => Ok(default),
            false => Ok(PyList::new(py, values)?.into_any()),
        }
    }

    #[pyo3(signature = (target, host, client, identity, request_id))]
    fn head<'py>(
        &self,
        py: Python<'py>,
        target: &str,
        host: &str,
        client: PyClient,
        identity: &[u8],
        request_id: &str,
    ) -> Bound<'py, PyBytes> {
        let PyClient { address, forwarded_for, scheme, host: named, trusted } = client;
        let forwarding = Forwarding {
            address: &address,
            forwarded_for: &forwarded_for.join(", "),
            scheme: &scheme,
            host: &named,
            trusted,
            identity,
            request_id,
        };
        PyBytes::new(py, &self.0.head(target, host, &forwarding))
    }
}

/// `headers.Client`.
#[derive(FromPyObject)]
struct PyClient {
    address: String,
    forwarded_for: Vec<String>,
    scheme: String,
    host: String,
    trusted: bool,
}

/// An engine, on a thread of its own.
#[pyclass(frozen)]
struct Relay {
    shared: Arc<Shared>,
    limits: Mutex<Known>,
}

#[pymethods]
impl Relay {
    #[new]
    fn new() -> PyResult<Self> {
        let shared = Arc::new(Shared::new().map_err(os_error)?);
        thread::start(Arc::clone(&shared))?;
        Ok(Self { shared, limits: Mutex::default() })
    }

    fn fileno(&self) -> RawFd {
        self.shared.alarm.as_fd().as_raw_fd()
    }

    #[pyo3(signature = (host, port, head, timeout, client, terms))]
    fn call(
        &self,
        host: &str,
        port: u16,
        head: &[u8],
        timeout: Option<f64>,
        client: Option<RawFd>,
        terms: Option<(Vec<u8>, Vec<u8>, PyLimits)>,
    ) -> PyResult<Token> {
        let host: IpAddr = host.parse().map_err(|_| PyValueError::new_err("no IP address"))?;
        let address = SocketAddr::new(host, port);
        let deadline = clock().saturating_add(micros(timeout));
        let terms = terms.map(|(accept, early, limits)| {
            let (limits, max_age) = self.limits(limits);
            Terms { accept, early, limits, max_age }
        });
        let client = client.map(|fd| (fd, terms));
        let token = self.shared.name();
        call::begin(&self.shared, token, address, head, deadline, client).map_err(|error| {
            self.shared.forget(token);
            os_error(error)
        })?;
        Ok(token)
    }

    fn resume(&self, token: Token, rest: &[u8]) {
        self.shared.post(Command::Resume { token, rest: rest.to_vec() }, 0);
    }

    fn cancel(&self, token: Token) {
        self.shared.post(Command::Cancel { token }, 0);
    }

    #[pyo3(signature = (token, client, head, early, limits))]
    fn adopt(
        &self,
        token: Token,
        client: Option<RawFd>,
        head: Vec<u8>,
        early: (Vec<u8>, Vec<u8>),
        limits: PyLimits,
    ) -> PyResult<Tunnel> {
        let client = client.map(Socket::take).transpose().map_err(os_error)?;
        let counters = Arc::new(Counters::new(clock()));
        let tunnel = self.tunnel(token, Arc::clone(&counters));
        let ((limits, max_age), early) = (self.limits(limits), early.into());
        let adoption = Box::new(Adoption { token, limits, max_age, counters, rest: head, early });
        let watched = self.shared.post_watched(0, |poll| {
            if let Some(client) = &client {
                poll.add(client, Who::Client.key(token))?;
            }
            Ok(Command::Adopt(client, adoption))
        });
        watched.map_err(os_error)?;
        Ok(tunnel)
    }

    fn events<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let events = self.shared.events(most);
        for event in &events {
            if let Event::Ended { token, .. } = event {
                self.shared.forget(*token);
            }
        }
        events.into_iter().map(|event| self.told(py, event)).collect()
    }

    fn close(&self) {
        self.shared.post(Command::Stop, 0);
    }
}

impl Relay {
    /// What holds for a tunnel, and its maximum age, which jitter makes its own.
    fn limits(&self, limits: PyLimits) -> (Arc<Limits>, Micros) {
        let max_age = micros(limits.max_age);
        (lock(&self.limits).share(limits.into()), max_age)
    }

    fn tunnel(&self, token: Token, counters: Arc<Counters>) -> Tunnel {
        Tunnel { token, shared: Arc::clone(&self.shared), counters }
    }

    /// An event as Python gets it: its name, the token, and what there is to say.
    fn told<'py>(&self, py: Python<'py>, event: Event) -> PyResult<Bound<'py, PyTuple>> {
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
            Event::Opened { token, counters, subprotocol } => {
                ("opened", token, self.tunnel(token, counters), subprotocol).into_pyobject(py)
            }
            Event::Ponged { token, who, time } => {
                ("ponged", token, who.name(), seconds(time)).into_pyobject(py)
            }
            Event::Ended { token, end } => {
                ("ended", token, end.reason, end.initiator, end.code, end.detail).into_pyobject(py)
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.close();
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
