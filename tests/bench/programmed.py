"""How long an edit takes: from `kubectl apply` to Programmed=True for the new generation.

`python -m tests.bench.programmed` measures on the cluster tests' node, and brings it up if need be.
"""

from __future__ import annotations

import json
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from tests.bench.machine import machine
from tests.cluster import images, release
from tests.cluster.echo import APP, Echo
from tests.cluster.kube import kubectl, temporary_namespace
from tests.cluster.node import node, requirements
from tests.cluster.node.clients import KUBECTL
from tests.cluster.node.images import load
from tests.cluster.objects import route, rule

EDITS: Final = 20
LIMIT: Final = 30.0
PAUSE: Final = 1.5
"""Seconds between two edits: a route's status is written once a second at most."""

_PROGRAMMED: Final = (
    '{.status.conditions[?(@.type=="Programmed")].status} '
    '{.status.conditions[?(@.type=="Programmed")].observedGeneration}{"\\n"}'
)

Seen = queue.Queue[tuple[str, float]]
"""What the Programmed condition said, and when that was seen."""


@contextmanager
def watched(namespace: str, name: str) -> Iterator[Seen]:
    """The condition of a route whenever the API server tells of a change."""
    command = (*KUBECTL, "get", f"wsr/{name}", f"--namespace={namespace}", "--watch")
    seen: Seen = queue.Queue()
    with subprocess.Popen(
        [*command, f"--output=jsonpath={_PROGRAMMED}"], stdout=subprocess.PIPE, text=True
    ) as watch:
        reader = threading.Thread(target=_read, args=(watch, seen))
        reader.start()
        try:
            yield seen
        finally:
            watch.terminate()
            reader.join()


def _read(watch: subprocess.Popen[str], seen: Seen) -> None:
    assert watch.stdout is not None
    for line in watch.stdout:
        seen.put((line.strip(), time.monotonic()))


def edit(echo: Echo, number: int, seen: Seen) -> float:
    """Seconds of one edit, the start of kubectl included."""
    changed = rule("/", connection={"idleTimeout": f"{number}m"})
    manifest = json.dumps(route("measured", changed, app=APP))
    begun = time.monotonic()
    kubectl("apply", f"--namespace={echo.namespace}", "--filename=-", stdin=manifest)
    told = ""
    while told != f"True {number}":
        told, at = seen.get(timeout=LIMIT)
    return at - begun


def measure() -> list[float]:
    """Seconds of each edit."""
    with temporary_namespace() as namespace:
        echo = Echo.start(namespace)
        echo.apply("measured", rule("/"))
        with watched(namespace, "measured") as seen:
            taken = []
            for number in range(2, EDITS + 2):
                time.sleep(PAUSE)
                taken.append(edit(echo, number, seen))
        return taken


def summary(taken: Sequence[float]) -> str:
    """One line."""
    low, middle, high = (f"{x:.3f}" for x in (min(taken), statistics.median(taken), max(taken)))
    return f"kubectl apply to Programmed: median {middle} s of {len(taken)} ({low} to {high})"


def main() -> None:
    """Measure, and print what came of it."""
    if reason := requirements.why_not():
        sys.exit(reason)
    with node.in_use():
        load(*images.all_images())
        with release.installed():
            taken = measure()
    print(summary(taken))
    print(machine())


if __name__ == "__main__":
    main()
