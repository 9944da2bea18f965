from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.sidecar import routes_of
from wsroute_api.problems import route_from_object
from wsroute_sidecar.metrics import HELP, Metrics
from wsroute_sidecar.policy import Policy, compile_rule
from wsroute_sidecar.relay_types import End, Initiator, Reason, Stats


def policy() -> Policy:
    route = route_from_object(routes_of([{"name": "rooms", "backend": {"port": 8080}}]))
    return compile_rule(route, 0, {})


def stats(**fields: int) -> Stats:
    counts = {"bytes_in": 10, "bytes_out": 20, "messages_in": 1, "messages_out": 2} | fields
    return Stats(opened=0.0, active=0.0, client_rtt=None, backend_rtt=None, **counts)


def rendered(metrics: Metrics, *live: Stats, gauges: Mapping[str, float] | None = None) -> str:
    sums = metrics.sums()
    for one in live:
        sums.add(policy(), one)
    return metrics.render(sums, gauges or {})


def test_a_tunnel_that_ends_while_others_are_counted_counts_once() -> None:
    metrics = Metrics()
    sums = metrics.sums()
    metrics.tunnel_ended(policy(), End(Reason.IDLE, Initiator.SIDECAR, 1001), stats(), 5.0)
    sums.add(policy(), stats())
    labels = 'route="default/app",rule="rooms",direction="in"'
    assert f"wsroute_tunnel_bytes_total{{{labels}}} 10" in metrics.render(sums, {})


def test_bytes_of_live_and_of_ended_tunnels_add_up() -> None:
    metrics = Metrics()
    metrics.tunnel_ended(policy(), End(Reason.IDLE, Initiator.SIDECAR, 1001), stats(), 5.0)

    text = rendered(metrics, stats(bytes_in=5))

    assert 'wsroute_tunnel_bytes_total{route="default/app",rule="rooms",direction="in"} 15' in text
    assert 'wsroute_tunnel_bytes_total{route="default/app",rule="rooms",direction="out"} 40' in text
    assert 'wsroute_tunnels_open{route="default/app",rule="rooms"} 1' in text


@pytest.mark.parametrize(
    ("code", "label"),
    [(1000, "1000"), (1011, "1011"), (None, "none"), (3000, "3xxx"), (4321, "4xxx"), (7, "other")],
)
def test_an_end_is_counted_by_reason_initiator_and_a_bounded_code(
    code: int | None, label: str
) -> None:
    metrics = Metrics()
    metrics.tunnel_ended(policy(), End(Reason.CLIENT, Initiator.CLIENT, code), stats(), 5.0)

    line = (
        'wsroute_tunnels_ended_total{route="default/app",rule="rooms",'
        f'reason="client",initiator="client",code="{label}"}} 1'
    )
    assert line in rendered(metrics).splitlines()


def test_a_histogram_counts_up_to_each_bound_and_in_all() -> None:
    metrics = Metrics()
    for age in (0.5, 1.0, 61.0, 1e6):
        metrics.tunnel_ended(policy(), End(Reason.CLIENT, Initiator.CLIENT, 1000), stats(), age)

    lines = rendered(metrics).splitlines()

    name, labels = "wsroute_tunnel_duration_seconds", 'route="default/app",rule="rooms"'
    assert f'{name}_bucket{{{labels},le="1"}} 2' in lines
    assert f'{name}_bucket{{{labels},le="60"}} 2' in lines
    assert f'{name}_bucket{{{labels},le="300"}} 3' in lines
    assert f'{name}_bucket{{{labels},le="+Inf"}} 4' in lines
    assert f"{name}_count{{{labels}}} 4" in lines


def test_every_family_says_what_it_is() -> None:
    metrics = Metrics()
    metrics.tunnel_opened(policy())
    metrics.tunnel_ended(policy(), End(Reason.CLIENT, Initiator.CLIENT, 1000), stats(), 1.0)
    metrics.ponged(policy(), "client", 0.01)
    metrics.handshake_failed("no_route")
    metrics.request(policy(), 200, 0.1)
    metrics.refused(404)

    gauges = {"wsroute_routes": 1, "wsroute_draining": 0, "wsroute_tasks": 2}
    text = rendered(metrics, stats(), gauges=gauges)

    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    assert told == set(HELP)
