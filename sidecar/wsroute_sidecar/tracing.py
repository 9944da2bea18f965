"""OpenTelemetry spans of requests and handshakes, where its library is installed and switched on.

W3C trace context passes through either way; with tracing on, the sidecar's span stands between the
client's and the backend's. Where spans go is the library's own configuration: start the sidecar by
`opentelemetry-instrument`, with the OTEL_ environment variables. A tunnel's span covers its
handshake, not its life, which would distort every latency.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final, Protocol, TypeVar

from opentelemetry import propagate, trace

from wsroute_sidecar.headers import Fields
from wsroute_sidecar.policy import Policy
from wsroute_sidecar.requests import Head

_CONTEXT: Final = frozenset({b"traceparent", b"tracestate", b"baggage"})


class _HasStatus(Protocol):
    @property
    def status(self) -> int: ...


_Outcome = TypeVar("_Outcome", bound=_HasStatus)


class Span:
    """The span of one request."""

    def __init__(self, span: trace.Span) -> None:
        self._span: Final = span

    def saw(self, outcome: _Outcome) -> _Outcome:
        """Note the status that the client gets; 101 opens a tunnel."""
        self._span.set_attribute("http.response.status_code", outcome.status)
        return outcome

    def carried(self, fields: Fields) -> Fields:
        """`fields` with this span as the backend's parent."""
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(self._span))
        kept = [field for field in fields if field[0].lower() not in _CONTEXT]
        return [*kept, *((name.encode(), value.encode()) for name, value in carrier.items())]


class Tracer:
    """Makes spans; the library's global provider takes them."""

    def __init__(self) -> None:
        self._tracer: Final = trace.get_tracer("wsroute")

    @contextlib.contextmanager
    def request(self, head: Head, policy: Policy) -> Iterator[Span]:
        """A span for as long as the request, or the handshake, is worked on.

        A backend that cannot be reached, or does not answer, makes it an error.
        """
        carrier = {
            name.decode().lower(): value.decode()
            for name, value in head.headers
            if name.lower() in _CONTEXT
        }
        attributes = {
            "http.request.method": head.method,
            "url.path": head.path,
            "server.address": head.hostname,
            "http.route": f"{policy.key}#{policy.rule}",
        }
        with self._tracer.start_as_current_span(
            f"{head.method} {policy.key}",
            context=propagate.extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes=attributes,
        ) as span:
            yield Span(span)
