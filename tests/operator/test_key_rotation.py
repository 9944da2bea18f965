"""The signing key is rotated, against a real API server, while pods come and go."""

from __future__ import annotations

import time

import pytest

from tests.operator.cluster import SYSTEM, Cluster, Operator, route
from tests.support.waiting import until
from wsroute_operator.keys import fresh

pytestmark = pytest.mark.cluster

SECRET = f"/api/v1/namespaces/{SYSTEM}/secrets/wsroute-signing-keys"
HOUR, DAY = 3600, 86400


def name(age: float) -> str:
    """The name of a key that was made `age` seconds ago."""
    (found,) = fresh(time.time() - age)
    return found


def put(cluster: Cluster, *keys: tuple[float, str | None]) -> list[str]:
    """Have the Secret hold these keys of these ages, fresh ones for None; their public halves."""
    if not cluster.has_keys():
        empty = {"metadata": {"name": SECRET.rpartition("/")[2]}}
        cluster.api.post(SECRET.rpartition("/")[0], empty)
    before = dict.fromkeys(cluster.api.get(SECRET).get("data") or {})
    data = {name(age): key or next(iter(fresh(0).values())) for age, key in keys}
    cluster.api.patch(SECRET, {"data": {**before, **data}})
    return cluster.keys()


def entries(cluster: Cluster) -> list[str]:
    """The private keys in the Secret, oldest first."""
    data = cluster.api.get(SECRET)["data"]
    return [data[name] for name in sorted(data)]


def test_an_old_key_is_replaced_without_a_pod_being_restarted(cluster: Cluster, shop: str) -> None:
    for pod in cluster.api.get("/api/v1/pods")["items"]:
        meta = pod["metadata"]
        cluster.api.delete(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}")
    forgotten, worn = put(cluster, (200 * DAY, None), (100 * DAY, None))
    old = cluster.pod(shop, "old")
    assert cluster.keys() == [forgotten, worn]
    old.sidecar.keys = old.sidecar.keys[1:]
    with Operator(cluster.api) as operator:
        operator.logged("signing_key_added")
        assert cluster.keys()[:-1] == [worn], "what no pod depends on has gone"
        new = cluster.pod(shop, "new")
        cluster.apply(shop, route("chat"))
        cluster.ready(shop, "chat")
        assert old.sidecar.routes == new.sidecar.routes == {f"{shop}/chat": 1}
        new.sidecar.keys = new.sidecar.keys[-1:]
        cluster.apply(shop, route("chat", path="/ws"))
        cluster.ready(shop, "chat", generation=2)
        assert new.sidecar.routes == {f"{shop}/chat": 2}, "the newest key signs"
        operator.stop()

    worn_entry, young_entry = entries(cluster)
    _, young = put(cluster, (100 * DAY, worn_entry), (2 * HOUR, young_entry))
    with Operator(cluster.api) as operator:
        cluster.apply(shop, route("chat"))
        cluster.ready(shop, "chat", generation=3)
        assert cluster.keys() == [worn, young], "a pod depends on it"
        operator.stop()
    old.delete()
    with Operator(cluster.api):
        until(lambda: cluster.keys() == [young], "the key dropped with its last pod")
        cluster.apply(shop, route("chat", path="/last"))
        cluster.ready(shop, "chat", generation=4)
        assert new.sidecar.routes == {f"{shop}/chat": 4}
