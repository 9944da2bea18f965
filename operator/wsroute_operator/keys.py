"""The Ed25519 keys that sign snapshots: one Secret in the operator's namespace.

Each entry of the Secret is one key, named after the time of its making, so that the last name is
the newest key. Every pod carries the public keys of the day it was admitted, and is sent snapshots
that are signed with the newest key it trusts. So a key is replaced by adding one, and dropped when
no pod is left that trusts nothing newer (`rotation`): no pod has to be restarted for it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from nacl.signing import SigningKey

from wsroute_api import log
from wsroute_api.snapshot import key_text, private_key
from wsroute_operator.kube import ConflictError, Kube, KubeError
from wsroute_operator.objects import Pod

TIME_FORMAT: Final = "%Y%m%dT%H%M%SZ"
"""Of the names of keys; the order of the names is that of the times."""

_REFRESH_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 2.0


class Keyring:
    """The keys in use; the newest stands last."""

    def __init__(self, keys: Sequence[SigningKey] = ()) -> None:
        self._keys = {key_text(key.verify_key): key for key in keys}

    def replace(self, keys: Sequence[SigningKey]) -> None:
        """Use these keys from now on."""
        self._keys = {key_text(key.verify_key): key for key in keys}

    def public(self) -> list[str]:
        """What a new pod is to trust."""
        return list(self._keys)

    def trusted_by(self, keys: Collection[str]) -> SigningKey | None:
        """The newest key that is among `keys`."""
        for text in reversed(self._keys):
            if text in keys:
                return self._keys[text]
        return None

    def needed(self, pods: Iterable[Pod]) -> set[str]:
        """The public keys with which a live one of `pods` checks what it is sent."""
        trusted = {pod.sidecar.keys for pod in pods if pod.live and pod.sidecar}
        newest = map(self.trusted_by, trusted)
        return {key_text(key.verify_key) for key in newest if key is not None}


def parse(data: Mapping[str, str]) -> list[SigningKey]:
    """The keys in a Secret's data, oldest first; ValueError when an entry is no key, or none is."""
    if not data:
        raise ValueError("the Secret holds no key: delete it, and it is made anew")
    return [private_key(base64.b64decode(data[name]).decode()) for name in sorted(data)]


def fresh(now: float) -> dict[str, str]:
    """The data of a Secret with one new key, made at `now` (seconds since the epoch)."""
    name = time.strftime(TIME_FORMAT, time.gmtime(now))
    return {name: base64.b64encode(key_text(SigningKey.generate()).encode()).decode()}


class KeyStore:
    """Keeps a keyring equal to its Secret."""

    def __init__(self, kube: Kube, name: str) -> None:
        self.keyring = Keyring()
        self.loaded = asyncio.Event()
        self._kube = kube
        self._name = name
        self._data: dict[str, str] = {}

    async def follow(self) -> None:
        """Load the keys and go on following the Secret until cancelled."""
        while True:
            try:
                await self.load()
            except (KubeError, ValueError) as error:
                log.error("signing_keys_not_read", error, secret=self._name)
            await asyncio.sleep(_REFRESH_SECONDS if self.loaded.is_set() else _RETRY_SECONDS)

    async def load(self) -> None:
        """Read the Secret, or make it; of replicas that make it at once, one wins and all read."""
        data = await self._kube.secret(self._name)
        if data is None:
            await self._create()
            data = await self._kube.secret(self._name) or {}
        if data != self._data:
            self.keyring.replace(parse(data))
            self._data = data
            log.info("signing_keys_loaded", secret=self._name, keys=len(data))
        self.loaded.set()

    def names(self) -> dict[str, str]:
        """The public key of each entry of the Secret, as it was last read."""
        return dict(zip(sorted(self._data), self.keyring.public(), strict=True))

    async def add(self, data: dict[str, str]) -> None:
        """Put another key into the Secret, and use it."""
        await self._kube.patch_secret(self._name, data)
        log.info("signing_key_added", secret=self._name, key=",".join(data))
        await self.load()

    async def drop(self, name: str) -> None:
        """Take a key out of the Secret."""
        await self._kube.patch_secret(self._name, {name: None})
        log.info("signing_key_dropped", secret=self._name, key=name)
        await self.load()

    async def _create(self) -> None:
        """A Secret that is deleted under a running operator comes back with what pods trust."""
        with contextlib.suppress(ConflictError):
            await self._kube.create_secret(self._name, self._data or fresh(time.time()))
            log.info("signing_keys_created", secret=self._name)
