"""Puts the parts together and runs them until SIGTERM or SIGINT, or until one of them fails."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterable
from typing import Any

from wsroute_api import log
from wsroute_operator import health, webhook
from wsroute_operator.bootstrap import Bootstrap
from wsroute_operator.control import Control
from wsroute_operator.index import Index
from wsroute_operator.keys import KeyStore
from wsroute_operator.kube import Kube, connect
from wsroute_operator.leader import Leadership
from wsroute_operator.rotation import rotate
from wsroute_operator.settings import Settings
from wsroute_operator.sweep import catch_up, mend, sweep
from wsroute_operator.watch import watch


async def run(settings: Settings) -> None:
    """Be one replica of the operator."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with connect() as api, connect(fresh=True) as timely:
        index = Index()
        kube = Kube(api, settings.namespace)
        keys = KeyStore(kube, settings.keys_secret)

        async def lead(leadership: Leadership) -> None:
            await keys.loaded.wait()
            await catch_up(kube, index)
            control = Control(index=index, kube=kube, keyring=keys.keyring, leadership=leadership)
            async with asyncio.TaskGroup() as group:
                group.create_task(control.run())
                if settings.signing_key_days:
                    group.create_task(rotate(keys, index, settings.signing_key_days))

        parts = [
            health.serve(settings.listen, index),
            keys.follow(),
            watch(index),
            sweep(kube, index, settings.relist_seconds),
            mend(kube, index),
            Leadership(
                Kube(timely, settings.namespace), settings.lease_name, settings.identity
            ).elect(lead),
        ]
        if settings.sidecar_image:
            bootstrap = Bootstrap(index, keys.keyring)
            parts.append(webhook.serve(settings, keys.keyring.public, bootstrap.sign, api))
        await _until(stop, parts)


async def _until(stop: asyncio.Event, parts: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all `parts` until `stop`, or until one fails; either way all have ended afterwards."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part) for part in parts]
        await stop.wait()
        log.info("stopping")
        for task in tasks:
            task.cancel()
