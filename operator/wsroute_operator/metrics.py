"""What the operator counts. Labels are bounded enums: never a route, a pod or a namespace."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY: Final = CollectorRegistry()

LEADER: Final = Gauge("wsroute_operator_leader", "1 while this replica leads.", registry=REGISTRY)
OBJECTS: Final = Gauge(
    "wsroute_operator_objects", "Objects known, by kind.", ["kind"], registry=REGISTRY
)
EVENTS: Final = Counter(
    "wsroute_operator_watch_events", "Watch events taken in, by kind.", ["kind"], registry=REGISTRY
)
PLAN_SECONDS: Final = Histogram(
    "wsroute_operator_plan_seconds", "Time to plan one namespace.", registry=REGISTRY
)
PUSHES: Final = Counter(
    "wsroute_operator_pushes",
    "Snapshots sent, by outcome: held, outrun or failed.",
    ["outcome"],
    registry=REGISTRY,
)
PUSH_SECONDS: Final = Histogram(
    "wsroute_operator_push_seconds", "Time of one push.", registry=REGISTRY
)
STATUS_WRITES: Final = Counter(
    "wsroute_operator_status_writes",
    "Statuses written, by outcome: written, gone or failed.",
    ["outcome"],
    registry=REGISTRY,
)
MISSED_DELETIONS: Final = Counter(
    "wsroute_operator_missed_deletions",
    "Objects that only a comparison with the API server's list showed to be gone, by kind.",
    ["kind"],
    registry=REGISTRY,
)
