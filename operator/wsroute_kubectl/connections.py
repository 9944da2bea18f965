"""`connections`, `close` and `drain`: tunnels, over all the pods that carry them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, Final

from wsroute_api import listing
from wsroute_kubectl import terminal
from wsroute_kubectl.asking import Answer, ask, failures
from wsroute_kubectl.kubectl import LIMIT, Kubectl, KubectlError
from wsroute_kubectl.pods import UNLABELLED, UNSELECTED, Chosen, Pod, choose, get_pod, get_running

_PERIOD: Final = 2.0
"""Seconds between two looks of one who watches."""

_KNOWN: Final[Mapping[str, listing.Column]] = {column[0]: column for column in listing.COLUMNS}
_NAMESPACE: Final = ("NAMESPACE", lambda c: c["namespace"])
_POD: Final = ("POD", lambda c: c["pod"])
# A route is of its pods' namespace, so its name says it all.
_ROUTE: Final = ("ROUTE", lambda c: c["route"].rpartition("/")[2])
_WIDE: Final[Sequence[listing.Column]] = (
    *(_KNOWN[name] for name in ("RULE", "MESSAGES", "RTT")),
    ("BACKEND-RTT", lambda c: listing.latency(c["backendRtt"])),
    ("PORT", lambda c: str(c["port"])),
    _KNOWN["SUBPROTOCOL"],
)


def connections(kubectl: Kubectl, flags: Mapping[str, Any]) -> int:
    """List tunnels, once or until the user has seen enough."""
    status = _show(flags, *_look(kubectl, flags))
    with suppress(KeyboardInterrupt):
        while flags["watch"]:
            time.sleep(_PERIOD)
            seen = _look(kubectl, flags)
            terminal.clear()
            status = _show(flags, *seen)
    return status


def _look(kubectl: Kubectl, flags: Mapping[str, Any]) -> tuple[Chosen, list[Answer]]:
    """What the pods say that the user means."""
    chosen = choose(kubectl, flags["target"], everywhere=flags["all_namespaces"])
    only = (f"--route={chosen.route}",) if chosen.route else ()
    return chosen, ask(kubectl, chosen.pods, "connections", *only, "--output=json")


def _show(flags: Mapping[str, Any], chosen: Chosen, answers: Sequence[Answer]) -> int:
    merged = merge(answers)
    if flags["output"] == "json":
        terminal.show(json.dumps(merged, indent=2))
    elif merged["connections"]:
        columns = _columns(flags, one_route=chosen.route is not None)
        terminal.show(listing.table(merged["connections"], columns), fitting=flags["watch"])
    elif answered := sum(not answer.failure for answer in answers):
        terminal.note(f"no tunnel is open in {answered} pod{'s' * (answered > 1)}")
    elif not answers:
        terminal.note(UNSELECTED if chosen.route else UNLABELLED)
    return terminal.complain(failures(answers))


def merge(answers: Sequence[Answer]) -> dict[str, list[dict[str, Any]]]:
    """One answer from many: each entry says whose it is."""
    return {
        part: [
            {"namespace": a.pod.namespace, "pod": a.pod.name, **entry}
            for a in answers
            if not a.failure
            for entry in a.said[part]
        ]
        for part in ("connections", "ended")
    }


def _columns(flags: Mapping[str, Any], *, one_route: bool) -> list[listing.Column]:
    return [
        *([_NAMESPACE] if flags["all_namespaces"] else []),
        _POD,
        _KNOWN["ID"],
        *([] if one_route else [_ROUTE]),
        *(_KNOWN[name] for name in ("CLIENT", "AGE", "IDLE", "IN", "OUT")),
        *(_WIDE if flags["output"] == "wide" else []),
    ]


def close(kubectl: Kubectl, flags: Mapping[str, Any]) -> int:
    """End one tunnel of a pod, or all of a route."""
    one, all_of = (flags["id"], flags["pod"]), flags["route"]
    if all_of and not any(one):
        chosen = choose(kubectl, all_of)
        which = [f"--route={chosen.route}"]
    elif all(one) and not all_of:
        chosen = Chosen([get_pod(kubectl, flags["pod"])])
        which = ["--", flags["id"]]
    else:
        raise ValueError("close: name a tunnel with ID --pod POD, or all of a route with --route")
    how = ("--output=json", f"--code={flags['code']}", f"--reason={flags['reason']}")
    answers = ask(kubectl, chosen.pods, "close", *how, *which)
    counts = [answer.said["closed"] for answer in answers if not answer.failure]
    if counts or not answers:
        terminal.show("1 tunnel closed" if sum(counts) == 1 else f"{sum(counts)} tunnels closed")
    return terminal.complain(failures(answers))


def drain(kubectl: Kubectl, flags: Mapping[str, Any]) -> int:
    """Drain one pod's sidecar; with --wait, until no tunnel is left."""
    pod = get_running(kubectl, flags["pod"])
    order = ("drain", *(["--wait"] if flags["wait"] else []))
    limit = None if flags["wait"] else LIMIT
    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(kubectl.ask, pod.name, *order, limit=limit)
        while not wait([drained], timeout=_PERIOD).done:
            terminal.progress(f"{pod.key}: {_open(kubectl, pod)}")
    terminal.show(drained.result().rstrip())
    return 0


def _open(kubectl: Kubectl, pod: Pod) -> str:
    try:
        listed = json.loads(kubectl.ask(pod.name, "connections", "--output=json"))
    except KubectlError as error:
        return str(error)
    return f"{len(listed['connections'])} tunnels are open"
