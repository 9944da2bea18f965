"""Services that lead clients past the sidecar, straight to the port of a backend.

Pure. Traffic meets the sidecar only because a Service's `targetPort` is the sidecar's port. One
that still names the application's own port works, but no route's rules hold there, and nobody
would notice without a report.

- A target port by name is each pod's own, as Kubernetes resolves it.
- A headless Service translates nothing: clients that look it up connect to the pod's address, with
  the number that the Service calls its port. So both numbers count there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from wsroute_api import contract
from wsroute_api.types import LabelSelector
from wsroute_operator.objects import Json, Pod, RouteObject
from wsroute_operator.selectors import PodsByLabel

_NAMED: Final = 10
"""How many Services a message names before it only counts."""


class Service(msgspec.Struct, frozen=True):
    """What matters of a Service."""

    uid: str
    namespace: str
    name: str
    selector: dict[str, str] = {}
    """Labels of its pods; empty where it has none of its own."""
    leads_to: tuple[int | str, ...] = ()
    """Ports of the pods, by number or by name, to which clients get over TCP."""


def service_from_object(obj: Json) -> Service:
    """The Service in the API server's object."""
    meta, spec = obj["metadata"], obj.get("spec") or {}
    return Service(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        selector=spec.get("selector") or {},
        leads_to=tuple(dict.fromkeys(_leads_to(spec))),
    )


def _leads_to(spec: Json) -> Iterator[int | str]:
    for port in spec.get("ports") or []:
        if port.get("protocol", "TCP") == "TCP":
            yield port.get("targetPort") or port["port"]
            if spec.get("clusterIP") == "None":
                yield port["port"]


class WaysPast:
    """Which Services of a namespace lead to which port of which pod, the sidecars' ports apart."""

    def __init__(self, services: Iterable[Service], pods: PodsByLabel) -> None:
        self._names: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        for service in sorted(services, key=lambda service: service.name):
            if service.selector:
                for pod in pods.select(LabelSelector(match_labels=service.selector)):
                    self._add(service, pod)

    def _add(self, service: Service, pod: Pod) -> None:
        for number in _numbers(service.leads_to, pod) - contract.SIDECAR_PORTS:
            self._names[pod.uid][number].append(service.name)

    def sentences(self, item: RouteObject, pods: Iterable[Pod]) -> Iterator[str]:
        """What to tell of `item`, which selects `pods`."""
        if item.route is None or not self._names:
            return
        backends = {rule.backend.port for rule in item.route.spec.rules}
        found: dict[int, set[str]] = defaultdict(set)
        for pod in pods:
            if pod.uid in self._names:
                for number in _numbers(backends, pod) & self._names[pod.uid].keys():
                    found[number].update(self._names[pod.uid][number])
        for number in sorted(found):
            yield _sentence(sorted(found[number]), number)


def _numbers(ports: Iterable[int | str], pod: Pod) -> set[int]:
    """What `ports` are in `pod`; a name that it does not have is none."""
    found = (pod.ports.get(port) if isinstance(port, str) else port for port in ports)
    return {number for number in found if number is not None}


def _sentence(names: Sequence[str], number: int) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    many = len(names) > 1
    return (
        f"Service{'s' * many} {', '.join(names[:_NAMED])}{more} lead{'s' * (not many)} clients to "
        f"port {number} of the pods, past the sidecar, where no route applies: make "
        f"{contract.DATA_PORT} the targetPort (and of a headless Service the port, too)"
    )
