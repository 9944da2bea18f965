"""The model that the operator, the sidecar and kubectl share.

In here: the v1alpha1 types and what follows from them alone — the schema, durations, validation,
matching with its precedence and its explanation, manifests, the signed snapshot, the names both
planes must agree on, and what all commands share towards people: log lines, listings, addresses.
Not in here: sockets, clocks, event loops, Kubernetes clients, and anything only one side needs.
It imports neither of the planes.
"""
