"""The reference of all metrics, made from what the code exposes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tests.documents.exposed import Family, of_the_operator, of_the_sidecar
from tests.documents.values import CHART

METRICS: Final = CHART / "METRICS.md"

_HEAD: Final = """\
# Metrics

In Prometheus' text format: of each sidecar at `:9302/metrics`, of each replica of the operator at
`:8080/metrics`. Labels are routes, rules and words of closed lists; never a path, a host or an
address of a client. `podMonitor.enabled` has the Prometheus operator scrape both,
`prometheusRule.enabled` installs the rules of [alerts.yaml](monitoring/alerts.yaml), and
`dashboard.enabled` the Grafana dashboard [dashboard.json](monitoring/dashboard.json).
"""


def reference() -> str:
    """The whole document."""
    return (
        f"{_HEAD}\n## Sidecar\n\n{_table(of_the_sidecar())}"
        f"\n## Operator\n\n{_table(of_the_operator())}"
    )


def _table(families: Iterable[Family]) -> str:
    head = "| metric | type | labels | |\n|---|---|---|---|\n"
    return head + "".join(
        f"| `{f.name}` | {f.kind} | {', '.join(f'`{label}`' for label in f.labels)} | {f.about} |\n"
        for f in sorted(families)
    )
