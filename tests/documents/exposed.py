"""The metrics that the sidecar and the operator expose, as their own code has them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from prometheus_client.metrics import MetricWrapperBase

from tests.support.sidecar import routes_of
from wsroute_api.problems import route_from_object
from wsroute_operator import metrics as operator_metrics
from wsroute_sidecar.metrics import Metrics
from wsroute_sidecar.policy import compile_rule
from wsroute_sidecar.relay_types import End, Initiator, Reason, Stats

_FAMILY: Final = re.compile(r"# HELP (\w+) (.*)\n# TYPE \1 (\w+)\n\1\w*(?:\{(.*)\})? ")
_LABEL: Final = re.compile(r'(\w+)="')


class Family(NamedTuple):
    """A metric: what Prometheus is told of it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    about: str

    @property
    def series(self) -> dict[str, set[str]]:
        """The names under which it can be asked for, and the labels of each."""
        labels = set(self.labels)
        if self.kind != "histogram":
            return {self.name: labels}
        parts = {f"{self.name}_{part}": labels for part in ("sum", "count")}
        return {f"{self.name}_bucket": labels | {"le"}, **parts}


def of_the_sidecar() -> list[Family]:
    """What a sidecar exposes in which everything has happened once."""
    return [
        Family(name, kind, tuple(x for x in _LABEL.findall(labels) if x != "le"), about)
        for name, about, kind, labels in _FAMILY.findall(_everything_has_happened())
    ]


def of_the_operator() -> list[Family]:
    """What its registry holds."""
    found = [m for m in vars(operator_metrics).values() if isinstance(m, MetricWrapperBase)]
    return [
        Family(
            f"{metric._name}_total" if metric._type == "counter" else metric._name,
            str(metric._type),
            tuple(metric._labelnames),
            metric._documentation,
        )
        for metric in found
    ]


def _everything_has_happened() -> str:
    route = route_from_object(routes_of([{"name": "rooms", "backend": {"port": 8080}}]))
    policy = compile_rule(route, 0, {})
    stats = Stats(
        opened=0.0, active=0.0, bytes_in=1, bytes_out=1, messages_in=1, messages_out=1,
        client_rtt=None, backend_rtt=None,
    )  # fmt: skip
    metrics = Metrics()
    metrics.tunnel_opened(policy)
    metrics.tunnel_ended(policy, End(Reason.CLIENT, Initiator.CLIENT, 1000), stats, 1.0)
    metrics.ponged(policy, "client", 0.01)
    metrics.handshake_failed("no_route")
    metrics.request(policy, 200, 0.1)
    metrics.refused(404)
    gauges = {"wsroute_routes": 1.0, "wsroute_draining": 0.0, "wsroute_tasks": 2.0}
    sums = metrics.sums()
    sums.add(policy, stats)
    return metrics.render(sums, gauges)
