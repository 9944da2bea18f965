"""Pushes tables to a sidecar as the operator does, and no faster than the sidecar takes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp
from nacl.signing import SigningKey

from tests.support.sidecar import Sidecar
from wsroute_api import contract, snapshot
from wsroute_api.problems import route_from_object
from wsroute_api.types import Table

_KEY: Final = SigningKey.generate()
_POD: Final = "pod-uid"

IDENTITY: Final = {
    contract.ENV_NAMESPACE: "default",
    contract.ENV_POD_UID: _POD,
    contract.ENV_PUBLIC_KEYS: snapshot.key_text(_KEY.verify_key),
}
"""Environment of a sidecar that takes these pushes."""

_BUSY: Final = 0.05


class Pusher:
    """One operator, to one sidecar."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._url: Final = f"http://127.0.0.1:{sidecar.push}{contract.SNAPSHOT_PATH}"
        self._seq = 0

    async def push(self, routes: Sequence[Mapping[str, Any]]) -> None:
        """Have these routes served."""
        table = Table(namespace="default", routes=[route_from_object(dict(r)) for r in routes])
        self._seq += 1
        now = int(time.time())
        token = snapshot.sign(
            snapshot.encode_table(table),
            _KEY,
            aud=_POD,
            epoch=1,
            seq=self._seq,
            iat=now,
            exp=now + 60,
        )
        headers = {"Content-Type": contract.SNAPSHOT_MEDIA_TYPE}
        while True:
            async with aiohttp.request("PUT", self._url, data=token, headers=headers) as answer:
                if answer.status != 429:
                    assert answer.status == 200, await answer.text()
                    return
            await asyncio.sleep(_BUSY)
