"""Measure the sidecar and its peers in one run; print a table, write JSON and a chart."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.chart import chart
from tests.bench.figures import DIRECT, Samples, merge, rows
from tests.bench.install import MissingError
from tests.bench.load import Generator, UnverifiedError, build
from tests.bench.machine import load_average, machine, version
from tests.bench.proxies import PROXIES, Proxy
from tests.bench.scenarios import FULL, QUICK, Bench, allow_descriptors
from tests.bench.table import table

RESULTS = Path(__file__).parent / "results"
OWN = [proxy.name for proxy in PROXIES if proxy.own]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass
class Run:
    """What is compared, and what came of it."""

    proxies: list[tuple[Proxy, Path]]
    busy: float
    samples: Samples = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def round(self, bench: Bench, label: str) -> None:
        """Measure everything once; a proxy that fails is not measured again."""
        _say(f"{label}: {DIRECT}")
        merge(self.samples, DIRECT, bench.measure_direct())
        for proxy, program in self.proxies:
            if proxy.name in self.failed:
                continue
            _say(f"{label}: {proxy.name}")
            try:
                merge(self.samples, proxy.name, bench.measure(proxy, program))
            except UnverifiedError as error:
                self.failed[proxy.name] = str(error)
                _say(f"{proxy.name} failed: {error}")

    def description(self) -> str:
        """The machine, what else it did just before, and the peers' versions."""
        peers = (
            f"{proxy.name} {version(program, proxy.version_flag)}"
            for proxy, program in self.proxies
            if not proxy.own
        )
        busy = f"load average {self.busy:.1f} before the run"
        return "; ".join([machine(), busy, ", ".join(peers)])


def _found(names: list[str]) -> list[tuple[Proxy, Path]]:
    """The wanted proxies that are here, with their programs; says which are not, and why."""
    found = []
    for proxy in PROXIES:
        if proxy.name in names:
            try:
                found.append((proxy, proxy.find()))
            except MissingError as reason:
                _say(f"{proxy.name} is left out: {reason}")
    return found


def _options() -> argparse.Namespace:
    names = [proxy.name for proxy in PROXIES]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds, to see that it works")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--proxies", nargs="+", choices=names, default=names, metavar="PROXY")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for latest.json and .svg")
    return parser.parse_args()


def main() -> int:
    """Run the benchmark; the status is 1 if what a proxy did could not be verified."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children are ended
    allow_descriptors()
    if (busy := load_average()) > 0.5:
        _say(f"the load average is {busy:.1f}: wall times will mean little")
    run = Run(_found(options.proxies), busy)
    with tempfile.TemporaryDirectory() as folder:
        load = Generator(build(), Path(folder))
        with load.backend() as backend:
            bench = Bench(load, backend, Path(folder), QUICK if options.quick else FULL)
            for number in range(options.rounds):
                run.round(bench, f"round {number + 1} of {options.rounds}")
    _write(run, options.out)
    return 1 if run.failed else 0


def _write(run: Run, folder: Path) -> None:
    found, description = rows(run.samples, OWN), run.description()
    print(f"{table(found)}\n\n{description}")
    report = {"machine": description, "failed": run.failed, "samples": run.samples}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / "latest.svg").write_text(chart(found, OWN, description))


if __name__ == "__main__":
    sys.exit(main())
