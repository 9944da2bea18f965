"""Which relay engine serves: the native one where it is built, or asyncio's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Protocol

from wsroute_sidecar.dial import Bare, Client, Judge, Refused, TurnedDown
from wsroute_sidecar.relay import AsyncioEngine
from wsroute_sidecar.relay_types import Dial, Limits, Owner


class BareEngine(Protocol):
    """Tunnels of clients that have no transport."""

    @property
    def calling(self) -> int:
        """Connections to clients that it has, but for tunnels."""

    def takes(self, host: str) -> bool:
        """Whether `begin` is for backends on `host`."""

    def begin(
        self,
        client: Bare,
        dial: Dial,
        judge: Judge,
        limits: Limits,
        owner: Owner,
        *,
        turned_down: TurnedDown,
    ) -> None:
        """As `Engine.open`, for a client that is a descriptor, and for whom nobody waits."""


class Engine(Protocol):
    """All tunnels of the process."""

    @property
    def name(self) -> str:
        """As `--relay` has it."""

    def time(self) -> float:
        """The clock that its tunnels' times are of, in seconds."""

    @property
    def bare(self) -> BareEngine | None:
        """The same for clients that are descriptors, where it can be that."""

    async def open(
        self, client: Client, dial: Dial, judge: Judge, limits: Limits, owner: Owner
    ) -> Refused | None:
        """Dial, have the answer judged, and relay from then on, of which `owner` is told.

        Raises:
            DialError: The backend cannot be reached, is too slow, or answers nonsense.
        """


@contextlib.contextmanager
def running(relay: str) -> Iterator[Engine]:
    """The engine that `relay` asks for: auto, native or asyncio; ValueError where it is not here.

    What it still relays at the end is cut.
    """
    loop = asyncio.get_running_loop()
    if relay != "asyncio":
        try:
            from wsroute_sidecar.native import NativeEngine  # noqa: PLC0415 - it may not be built
        except ImportError as error:
            if relay == "native":
                raise ValueError(f"--relay native: it is not built here: {error}") from error
        else:
            with contextlib.closing(NativeEngine(loop)) as engine:
                yield engine
            return
    yield AsyncioEngine(loop)
