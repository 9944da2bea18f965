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
from wsroute_kubectl.kubectl import Kubectl, KubectlError
from wsroute_kubectl.pods import choose

_PERIOD: Final = 2.0
"""Seconds between two looks of one who watches."""

_NAMESPACE: Final = ("NAMESPACE", lambda c: c["namespace"])
_POD: Final = ("POD", lambda c: c["pod"])
_WIDE: Final[Sequence[listing.Column]] = (
    ("BACKEND-RTT", lambda c: listing.latency(c["backendRtt"])),
    ("PORT", lambda c: str(c["port"])),
    ("SUBPROTOCOL", lambda c: c["subprotocol"] or "-"),
)


def connections(kubectl: Kubectl, flags: Mapping[str, Any]) -> int:
    """List tunnels, once or until the user has seen enough."""
    status = _list(kubectl, flags)
    with suppress(KeyboardInterrupt):
        while flags["watch"]:
            time.sleep(_PERIOD)
            terminal.clear()
            status = _list(kubectl, flags)
    return status


def _list(kubectl: Kubectl, flags: Mapping[str, Any]) -> int:
    chosen = choose(kubectl, flags["target"], everywhere=flags["all_namespaces"])
    only = (f"--route={chosen.route}",) if chosen.route else ()
    answers = ask(kubectl, chosen.pods, "connections", *only, "--output=json")
    merged = merge(answers)
    if flags["output"] == "json":
        terminal.show(json.dumps(merged, indent=2))
    else:
        columns = _columns(wide=flags["output"] == "wide", everywhere=flags["all_namespaces"])
        terminal.show(listing.table(merged["connections"], columns))
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


def _columns(*, wide: bool, everywhere: bool) -> list[listing.Column]:
    return [
        *([_NAMESPACE] if everywhere else []),
        _POD,
        *listing.COLUMNS,
        *(_WIDE if wide else []),
    ]


def close(kubectl: Kubectl, flags: Mapping[str, Any]) -> int:
    """End one tunnel of a pod, or all of a route."""
    one, all_of = (flags["id"], flags["pod"]), flags["route"]
    if all_of and not any(one):
        chosen = choose(kubectl, all_of)
        which = [f"--route={chosen.route}"]
    elif all(one) and not all_of:
        chosen = choose(kubectl, f"pod/{flags['pod'].removeprefix('pod/')}")
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
    pod = flags["pod"].removeprefix("pod/")
    if not flags["wait"]:
        terminal.show(kubectl.ask(pod, "drain").rstrip())
        return 0
    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(kubectl.ask, pod, "drain", "--wait", limit=None)
        while not wait([drained], timeout=_PERIOD).done:
            terminal.progress(f"pod/{pod}: {_open(kubectl, pod)}")
    terminal.show(drained.result().rstrip())
    return 0


def _open(kubectl: Kubectl, pod: str) -> str:
    try:
        listed = json.loads(kubectl.ask(pod, "connections", "--output=json"))
    except KubectlError as error:
        return str(error)
    return f"{len(listed['connections'])} tunnels are open"
