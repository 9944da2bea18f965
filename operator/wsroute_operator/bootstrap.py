"""The first snapshot of a pod, signed at its admission: it serves before any leader can push to it.

The webhook puts it into an annotation, which the sidecar is given as an environment variable. Each
replica can sign one, from its own index; the leader's first push is newer and takes its place.

- At admission a pod has no UID. What binds the snapshot to the pod instead is a nonce, drawn there
  and put into the sidecar's environment, which nobody can change afterwards.
- Who may edit a pod can remove the annotation, or put back an earlier one of the same pod: then it
  starts without routes, or with earlier ones, until the first push. Another pod's has another
  nonce, and one of their own making no signature.
- Who may create pods runs in them what they like: nothing here protects a pod from its creator.
- Who may read a pod can read the routes in it. They hold no secrets.
- It may be taken for an hour, in which images are pulled and nodes made. A pod that starts later
  waits for the leader, as it does when its table is too large for an annotation.
"""

from __future__ import annotations

import time
from typing import Final

import msgspec

from wsroute_api import contract, log, snapshot
from wsroute_operator.container import Json
from wsroute_operator.index import Index
from wsroute_operator.keys import Keyring
from wsroute_operator.objects import Sidecar, pod_from_object
from wsroute_operator.plan import plan

_VALID_SECONDS: Final = 3600


class Bootstrap:
    """Signs first snapshots."""

    def __init__(self, index: Index, keyring: Keyring) -> None:
        self._index = index
        self._keyring = keyring

    def sign(self, pod: Json, namespace: str, nonce: str) -> str | None:
        """The snapshot for a pod that is being admitted to `namespace`; None if there is none."""
        key = self._keyring.trusted_by(self._keyring.public())
        if key is None or not self._index.complete.is_set():
            return None
        now = int(time.time())
        epoch, seq = snapshot.BEFORE_ALL
        token = snapshot.sign(
            self._table(pod, namespace),
            key,
            aud=snapshot.admission(nonce),
            epoch=epoch,
            seq=seq,
            iat=now,
            exp=now + _VALID_SECONDS,
        )
        if len(token) > contract.BOOTSTRAP_MAX_BYTES:
            name = pod["metadata"].get("name") or pod["metadata"].get("generateName")
            log.warning("bootstrap_too_large", pod=f"{namespace}/{name}", bytes=len(token))
            return None
        return token.decode()

    def _table(self, pod: Json, namespace: str) -> bytes:
        identity = {"uid": "", "namespace": namespace, "name": ""}
        unborn = msgspec.structs.replace(
            pod_from_object({**pod, "metadata": {**pod["metadata"], **identity}}),
            sidecar=Sidecar(keys=()),
        )
        routes = self._index.namespace(namespace).routes.values()
        return plan(namespace, routes, [unborn]).tables[unborn.uid].encoded
