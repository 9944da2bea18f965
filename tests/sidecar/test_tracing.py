from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.support.sidecar import route
from wsroute_api.problems import route_from_object
from wsroute_sidecar.adapter import Finished
from wsroute_sidecar.policy import Policy, compile_rule
from wsroute_sidecar.relay_types import DialError
from wsroute_sidecar.requests import Checked, Head, check
from wsroute_sidecar.tracing import Tracer

PARENT = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def provider() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(provider: InMemorySpanExporter) -> InMemorySpanExporter:
    provider.clear()
    return provider


def head() -> Head:
    fields = (
        (b"Host", b"chat.test"),
        (b"Traceparent", f"00-{PARENT}-b7ad6b7169203331-01".encode()),
    )
    found = check("GET", "/ws", (1, 1), fields)
    assert isinstance(found, Checked)
    return found


def policy() -> Policy:
    return compile_rule(route_from_object(route(8080, name="chat")), 0, {})


def only(spans: InMemorySpanExporter) -> ReadableSpan:
    (span,) = spans.get_finished_spans()
    return span


def test_a_request_is_a_span_in_the_clients_trace(spans: InMemorySpanExporter) -> None:
    with Tracer().request(head(), policy()) as span:
        span.saw(Finished(keep_alive=False, status=101))

    found = only(spans)
    assert found.context is not None
    assert f"{found.context.trace_id:032x}" == PARENT
    assert found.attributes is not None
    assert dict(found.attributes) == {
        "http.request.method": "GET",
        "url.path": "/ws",
        "server.address": "chat.test",
        "http.route": "default/chat#0",
        "http.response.status_code": 101,
    }


def test_the_backend_is_told_of_the_sidecars_span_in_the_place_of_the_clients(
    spans: InMemorySpanExporter,
) -> None:
    with Tracer().request(head(), policy()) as span:
        fields = span.carried([(b"A", b"b"), (b"Traceparent", b"the client's")])

    found = only(spans)
    assert found.context is not None
    parent = f"00-{PARENT}-{found.context.span_id:016x}-01".encode()
    assert fields == [(b"A", b"b"), (b"traceparent", parent)]


def test_a_backend_that_fails_makes_the_span_an_error(spans: InMemorySpanExporter) -> None:
    with (
        pytest.raises(DialError),
        Tracer().request(head(), policy()),
    ):
        raise DialError(502, "backend_unreachable", "no")

    assert only(spans).status.status_code is trace.StatusCode.ERROR
