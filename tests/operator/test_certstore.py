from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest
from kubernetes.aio.client import ApiClient

from tests.operator.certificate_api import CONFIGURATION, SECRET, SECRETS, StandIn, stand_in
from wsroute_operator.certs import AUTHORITY_LIFE, Certificates
from wsroute_operator.certstore import CertificateStore
from wsroute_operator.kube import KubeError
from wsroute_operator.settings import Settings

START = datetime(2030, 1, 1, tzinfo=UTC)
RENEWAL = START + AUTHORITY_LIFE * 0.7
SETTINGS = Settings(namespace="wsroute-system")
EXISTING = Settings(namespace="wsroute-system", webhook_certificates="existing")

Replica = Callable[..., CertificateStore]


@pytest.fixture
async def api() -> AsyncIterator[tuple[StandIn, ApiClient]]:
    async with stand_in() as both:
        yield both


@pytest.fixture
def server(api: tuple[StandIn, ApiClient]) -> StandIn:
    return api[0]


@pytest.fixture
def replica(api: tuple[StandIn, ApiClient]) -> Replica:
    def make(now: datetime = START, settings: Settings = SETTINGS) -> CertificateStore:
        return CertificateStore(api[1], settings, clock=lambda: now)

    return make


def bundle(server: StandIn) -> bytes:
    (webhook,) = server.objects[CONFIGURATION]["webhooks"]
    return base64.b64decode(webhook["clientConfig"].get("caBundle", ""))


def secret(server: StandIn) -> Certificates:
    data = server.objects[SECRET]["data"]
    return Certificates.from_secret({n: base64.b64decode(v) for n, v in data.items()})


async def test_the_first_replica_makes_certificates_and_has_them_trusted(
    server: StandIn, replica: Replica
) -> None:
    held = await replica().refresh()
    assert secret(server) == held
    assert bundle(server) == held.authorities
    assert server.objects[SECRET]["type"] == "kubernetes.io/tls"
    (webhook,) = server.objects[CONFIGURATION]["webhooks"]
    assert webhook["clientConfig"]["service"]["path"] == "/inject"


async def test_the_secret_goes_with_the_configuration_of_the_webhook(
    server: StandIn, replica: Replica
) -> None:
    await replica().refresh()
    (owner,) = server.objects[SECRET]["metadata"]["ownerReferences"]
    configuration = server.objects[CONFIGURATION]["metadata"]
    assert (owner["kind"], owner["apiVersion"]) == (
        "MutatingWebhookConfiguration",
        "admissionregistration.k8s.io/v1",
    )
    assert (owner["name"], owner["uid"]) == (configuration["name"], configuration["uid"])


async def test_what_is_in_order_is_only_read(server: StandIn, replica: Replica) -> None:
    held = await replica().refresh()
    server.writes.clear()
    assert await replica().refresh() == held
    assert server.writes == []


async def test_replicas_that_start_at_once_serve_the_same(
    server: StandIn, replica: Replica
) -> None:
    together = asyncio.Barrier(4)

    async def all_have_seen_none() -> None:
        if SECRET not in server.objects:
            await together.wait()

    server.gates["GET", SECRET] = all_have_seen_none
    held = await asyncio.gather(*(replica().refresh() for _ in range(4)))
    assert set(held) == {secret(server)}
    assert bundle(server) == secret(server).authorities
    assert server.writes.count(("POST", SECRETS, 409)) == 3


async def test_replicas_that_renew_at_once_serve_the_same(
    server: StandIn, replica: Replica
) -> None:
    before = await replica().refresh()
    arrived = asyncio.Barrier(3)
    seen = 0

    async def all_have_seen_the_old_one() -> None:
        nonlocal seen
        seen += 1
        if seen <= 3:
            await arrived.wait()

    server.gates["GET", SECRET] = all_have_seen_the_old_one
    held = await asyncio.gather(*(replica(RENEWAL).refresh() for _ in range(3)))
    assert set(held) == {secret(server)}
    assert secret(server).authorities.endswith(before.authorities)
    assert secret(server).authorities != before.authorities
    assert bundle(server) == secret(server).authorities
    assert server.writes.count(("PATCH", SECRET, 409)) == 2


async def test_a_replica_with_an_outdated_secret_does_not_bring_its_authorities_back(
    server: StandIn, replica: Replica
) -> None:
    await replica().refresh()
    del server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"]
    has_read, may_go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        del server.gates["GET", SECRET]
        has_read.set()
        await may_go_on.wait()

    server.gates["GET", SECRET] = hold
    outdated = asyncio.create_task(replica().refresh())
    await has_read.wait()
    renewed = await replica(RENEWAL).refresh()
    may_go_on.set()

    assert await outdated == renewed
    assert bundle(server) == renewed.authorities
    assert ("PATCH", CONFIGURATION, 409) in server.writes


async def test_a_bundle_that_someone_removed_comes_back(server: StandIn, replica: Replica) -> None:
    held = await replica().refresh()
    del server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"]
    await replica().refresh()
    assert bundle(server) == held.authorities


async def test_a_secret_that_someone_deleted_is_made_anew_and_its_authority_still_trusted(
    server: StandIn, replica: Replica
) -> None:
    before = await replica().refresh()
    del server.objects[SECRET]
    held = await replica().refresh()
    assert held.certificate != before.certificate
    assert held.authorities != before.authorities
    assert held.authorities.endswith(before.authorities)
    assert bundle(server) == held.authorities


async def test_a_secret_of_someone_elses_is_served_as_it_is(
    server: StandIn, replica: Replica
) -> None:
    made = await replica().refresh()
    server.writes.clear()
    held = await replica(RENEWAL, EXISTING).refresh()
    assert held == made
    assert server.writes == []


async def test_a_secret_of_someone_elses_is_waited_for(server: StandIn, replica: Replica) -> None:
    with pytest.raises(KubeError):
        await replica(settings=EXISTING).refresh()
    assert server.writes == []


async def test_an_api_server_that_fails_is_told_of(server: StandIn, replica: Replica) -> None:
    server.failures = 1
    with pytest.raises(KubeError):
        await replica().refresh()
    assert await replica().refresh() == secret(server)
