"""How the operator bears a large cluster: `python -m tests.bench.scale`.

A real API server with etcd, thousands of pods as API objects, stand-in sidecars that verify what
they are sent, and the operator's own process. It shares the machine with all of them, so wall
times are upper bounds; its CPU time, pushes and writes are exact.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.bench.machine import load_average, machine
from tests.bench.processes import cpu_seconds
from tests.bench.scale_town import App, Shape, Statuses, Town, watched
from tests.bench.scenarios import allow_descriptors
from tests.operator.apiserver import ApiServer
from tests.operator.cluster import Cluster, Operator
from tests.operator.standin import Fleet
from tests.support.waiting import until

FULL: Final = Shape(apps=50, pods_of_app=100, routes_of_app=20, namespaces=10, changes=20, rolled=5)
QUICK: Final = Shape(apps=5, pods_of_app=10, routes_of_app=2, namespaces=2, changes=3, rolled=1)
LIMIT: Final = 600.0
RESULTS: Final = Path(__file__).parent / "results"

Figures = dict[str, float]

_QUIET: Final = 3.0
"""Seconds without a change of a status after which none comes: each is written within one."""
_EVENTS: Final = "wsroute_operator_watch_events_total"


class Trial:
    """One run: what is done to a town and its operator, and how long it takes."""

    def __init__(self, town: Town, operator: Operator, statuses: Statuses) -> None:
        self.figures: Figures = {}
        self._town = town
        self._operator = operator
        self._statuses = statuses

    def run(self) -> None:
        """Measure everything."""
        self._start()
        self._changes()
        self._rolling()
        self._touching()
        self._restart()

    def _start(self) -> None:
        begun = time.monotonic()
        self._operator.start()
        programmed, ready = self._converged(self._town.apps)
        self.figures |= {
            "start to all programmed (s)": programmed - begun,
            "start to all Ready (s)": ready - begun,
            "start, CPU (s)": self._cpu(),
        }
        self._write("start", self._town.written(), len(self._town.routes))

    def _changes(self) -> None:
        """A change of one route at a time, each of another app."""
        before, written, pushed = self._cpu(), self._town.written(), self._town.pushes()
        taken = [self._change(number) for number in range(self._town.shape.changes)]
        programmed, ready = ([seconds[which] for seconds in taken] for which in (0, 1))
        self.figures |= {
            "change to its pods programmed, median (s)": statistics.median(programmed),
            "change to its pods programmed, worst (s)": max(programmed),
            "change to Ready, median (s)": statistics.median(ready),
            "change to Ready, worst (s)": max(ready),
            "change, CPU (s)": (self._cpu() - before) / len(taken),
            "change, pushes": (self._town.pushes() - pushed) / len(taken),
        }
        self._write("change", self._town.written() - written, len(taken))

    def _change(self, number: int) -> tuple[float, float]:
        app = self._town.apps[number % len(self._town.apps)]
        begun = time.monotonic()
        self._town.change(app)
        programmed, ready = self._converged([app])
        return programmed - begun, ready - begun

    def _rolling(self) -> None:
        apps = self._town.apps[: self._town.shape.rolled]
        routes = sum(len(app.generations) for app in apps)
        before, written, begun = self._cpu(), self._town.written(), time.monotonic()
        self._town.roll(apps)
        rolled = time.monotonic()
        programmed, _ = self._converged(apps)
        until(lambda: time.monotonic() > self._statuses.latest + _QUIET, "the last status", LIMIT)
        self.figures |= {
            "rolling update of the pods themselves (s)": rolled - begun,
            "its last pod to all programmed (s)": max(0.0, programmed - rolled),
            "its last pod to the last status (s)": max(0.0, self._statuses.latest - rolled),
            "rolling update, CPU (s)": self._cpu() - before,
        }
        self._write("rolling update", self._town.written() - written, routes)

    def _touching(self) -> None:
        """What changes nothing leads to no push and to no write."""
        events, before = self._events(), self._cpu()
        written, pushed = self._town.written(), self._town.pushes()
        self._town.touch()
        touched = len(self._town.routes) + len(self._town.pods)
        until(lambda: self._events() >= events + touched, "all events seen", LIMIT)
        self.figures["all objects touched, CPU (s)"] = self._cpu() - before
        pods, settled = self._settle()
        self.figures |= {
            "all objects touched, pushes": self._town.pushes() - pushed - pods,
            "memory, peak (MB)": _peak(self._operator) / 1e6,
        }
        self._write("all objects touched", self._town.written() - written - settled)

    def _restart(self) -> None:
        """A new leader raises every sidecar's version, changes nothing and writes nothing."""
        written, pushed = self._town.written(), self._town.pushes()
        applied, begun = self._town.applied(), time.monotonic()
        epoch = max(pod.sidecar.version[0] for pod in self._town.pods)
        self._operator.stop()
        self._operator.start()
        until(
            lambda: all(pod.sidecar.version[0] > epoch for pod in self._town.pods),
            "the new epoch everywhere",
            LIMIT,
        )
        self.figures["restart to all confirmed (s)"] = time.monotonic() - begun
        pods, settled = self._settle()
        self.figures |= {
            "restart, pushes per pod": (self._town.pushes() - pushed - pods) / len(self._town.pods),
            "restart, tables changed": self._town.applied() - applied - pods,
        }
        self._write("restart", self._town.written() - written - settled)

    def _write(self, stage: str, written: Counter[str], routes: int = 1) -> None:
        """Note what a stage wrote: the statuses by the number of `routes` that it was about."""
        self.figures[f"{stage}, statuses written"] = written["statuses"] / routes
        self.figures[f"{stage}, Events written"] = written["Events"]

    def _settle(self) -> tuple[int, Counter[str]]:
        """Change a route of each namespace: when it is ready, all that came before is done.

        Returns how many pods that concerned, and what it wrote.
        """
        first = {app.namespace: app for app in reversed(self._town.apps)}.values()
        before = self._statuses.changes.copy()
        edited = []
        for app in first:
            edited.append(self._town.change(app))
            self._converged([app])
        # Each was changed by its edit, and by each write of its status.
        writes = sum(self._statuses.changes[key] - before[key] - 1 for key in edited)
        return sum(len(app.pods) for app in first), Counter(statuses=writes)

    def _converged(self, apps: Collection[App]) -> tuple[float, float]:
        """When the pods of `apps` served their routes, and when all of these said so."""
        programmed = _when(apps, App.programmed)
        ready = _when(apps, lambda app: app.ready(self._statuses))
        return programmed, ready

    def _cpu(self) -> float:
        return cpu_seconds(self._operator.process.pid)

    def _events(self) -> float:
        """How many events of watches the operator has taken in."""
        lines = self._operator.http("/metrics")[1].splitlines()
        found = (line.split() for line in lines)
        return sum(float(words[1]) for words in found if words[0].startswith(_EVENTS))


def _when(apps: Collection[App], check: Callable[[App], bool]) -> float:
    """When all of `apps` passed `check`."""
    left = list(apps)

    def passed() -> bool:
        while left and check(left[-1]):
            left.pop()
        return not left

    until(passed, f"convergence of {len(apps)} apps", LIMIT)
    return time.monotonic()


def _peak(operator: Operator) -> int:
    """The most memory that the process has had, in bytes."""
    status = Path(f"/proc/{operator.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def measure(shape: Shape) -> Figures:
    """All figures, by name and unit."""
    with ApiServer() as api, Fleet() as fleet:
        cluster = Cluster(api, fleet)
        with Operator(api, "operator", "--log-level=warning") as operator:
            until(cluster.has_keys, "the signing keys")
            operator.stop()
            town = Town(cluster, shape)
            _say(f"making {shape} ...")
            town.populate()
            with watched(api) as statuses:
                trial = Trial(town, operator, statuses)
                trial.run()
    return trial.figures


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print, and write what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a small cluster, to see that it works"
    )
    parser.add_argument("--namespaces", type=int, help="over how many the apps are spread")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for scale.json")
    options = parser.parse_args()
    shape = QUICK if options.quick else FULL
    if options.namespaces:
        shape = replace(shape, namespaces=options.namespaces)
    allow_descriptors()
    busy = load_average()
    figures = measure(shape)
    about = f"{shape}; {machine()}; load average {busy:.1f} before the run"
    width = max(map(len, figures))
    print("\n".join(f"{name:{width}}  {value:10.3f}" for name, value in figures.items()))
    print(f"\n{about}")
    options.out.mkdir(parents=True, exist_ok=True)
    report = {"about": about, "figures": figures}
    (options.out / "scale.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
