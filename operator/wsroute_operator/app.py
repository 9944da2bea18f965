"""Puts the parts together and runs them until SIGTERM or SIGINT, or until one of them fails."""

from __future__ import annotations

import asyncio
import signal

from wsroute_operator import health, log, webhook
from wsroute_operator.control import Control
from wsroute_operator.index import Index
from wsroute_operator.keys import KeyStore
from wsroute_operator.kube import Kube, connect
from wsroute_operator.leader import Lease, elect
from wsroute_operator.settings import Settings
from wsroute_operator.sweep import sweep
from wsroute_operator.watch import watch


async def run(settings: Settings) -> None:
    """Be one replica of the operator."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with connect() as api:
        index = Index()
        kube = Kube(api, settings.namespace)
        keys = KeyStore(kube, settings.keys_secret)

        async def lead(lease: Lease) -> None:
            await keys.loaded.wait()
            await Control(index=index, kube=kube, keyring=keys.keyring, lease=lease).run()

        async with asyncio.TaskGroup() as group:
            parts = [
                group.create_task(part)
                for part in (
                    health.serve(settings.listen, index),
                    keys.follow(),
                    watch(index),
                    sweep(kube, index, settings.relist_seconds),
                    elect(kube, settings.lease_name, settings.identity, lead),
                    webhook.serve(settings, keys.keyring.public, api),
                )
            ]
            await stop.wait()
            log.info("stopping")
            for part in parts:
                part.cancel()
