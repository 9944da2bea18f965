from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.operator.certificate_api import CONFIGURATION, SECRET, StandIn, stand_in
from wsroute_api.address import Address
from wsroute_operator import webhook
from wsroute_operator.settings import Settings

Json = dict[str, Any]

NAME = "wsroute-webhook.wsroute-system.svc"
# As kube-apiserver 1.34 sent it.
REVIEW = (Path(__file__).parent / "data" / "admission_review.json").read_bytes()


class Webhook:
    """A running webhook, called as an API server calls it: by its name, and with its bundle."""

    def __init__(self, api: StandIn, port: int) -> None:
        self.api = api
        self.port = port
        self.keys = ["key-one"]

    def sign(self, pod: Json, namespace: str, nonce: str) -> str | None:
        """What stands for a signed snapshot."""
        return f"for {pod['spec']['containers'][0]['name']} in {namespace} by {nonce}"

    def bundle(self) -> str:
        (hook,) = self.api.objects[CONFIGURATION]["webhooks"]
        return base64.b64decode(hook["clientConfig"].get("caBundle", "")).decode()

    async def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
        """Status and body of the answer, over a connection of its own."""
        async with aiohttp.ClientSession() as session:
            response = await session.request(
                method,
                f"https://127.0.0.1:{self.port}{path}",
                data=io.BytesIO(body),
                ssl=ssl.create_default_context(cadata=self.bundle()),
                server_hostname=NAME,
            )
            return response.status, await response.text()

    async def admit(self, change: Callable[[Json], None] = lambda pod: None) -> Json:
        """The response to a review of the recorded pod after a `change`."""
        review = json.loads(REVIEW)
        change(review["request"]["object"])
        status, text = await self.call("POST", "/inject", json.dumps(review).encode())
        assert status == 200
        answer: Json = json.loads(text)
        assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        response: Json = answer["response"]
        assert response["uid"] == review["request"]["uid"]
        return response

    async def ready(self) -> bool:
        """Whether an API server could call it now."""
        try:
            return bool(self.bundle()) and (await self.call("GET", "/readyz"))[0] == 200
        except aiohttp.ClientConnectionError:
            return False

    async def becomes_ready(self) -> None:
        deadline = time.monotonic() + 10
        while not await self.ready():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    async def certificate(self) -> bytes:
        """What a new connection is served with."""
        tls = ssl.create_default_context(cadata=self.bundle())
        _, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=tls, server_hostname=NAME
        )
        served: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        return served


@asynccontextmanager
async def running(failures: int = 0) -> AsyncIterator[Webhook]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = Settings(
        namespace="wsroute-system",
        sidecar_image="wsroute/sidecar:1",
        webhook_listen=Address("127.0.0.1", port),
    )
    async with stand_in() as (api, client):
        api.failures = failures
        hook = Webhook(api, port)
        serving = asyncio.create_task(webhook.serve(settings, lambda: hook.keys, hook.sign, client))
        try:
            await hook.becomes_ready()
            yield hook
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


async def test_a_pod_is_admitted_with_the_patch_that_injects_it() -> None:
    async with running() as hook:
        response = await hook.admit()
    assert response["allowed"] is True
    assert response["patchType"] == "JSONPatch"
    patch = {o["path"]: o for o in json.loads(base64.b64decode(response["patch"]))}
    (sidecar,) = patch["/spec/initContainers"]["value"]
    assert sidecar["image"] == "wsroute/sidecar:1"
    assert {"name": "WSROUTE_PUBLIC_KEYS", "value": "key-one"} in sidecar["env"]
    assert {"name": "wsroute", "emptyDir": {}} in patch["/spec/volumes"]["value"]
    (nonce,) = (e["value"] for e in sidecar["env"] if e["name"] == "WSROUTE_NONCE")
    assert len(nonce) == 22
    first = patch["/metadata/annotations"]["value"]["wsroute.dev/bootstrap"]
    assert first == f"for chat in {json.loads(REVIEW)['request']['namespace']} by {nonce}"


async def test_a_pod_that_cannot_work_is_refused_with_the_reason() -> None:
    async with running() as hook:
        response = await hook.admit(lambda pod: pod["spec"].update(hostNetwork=True))
    assert response["allowed"] is False
    assert response["status"]["code"] == 422
    assert "remove hostNetwork" in response["status"]["message"]
    assert "patch" not in response


async def test_a_pod_without_the_label_is_admitted_as_it_is() -> None:
    async with running() as hook:
        response = await hook.admit(lambda pod: pod["metadata"].pop("labels"))
    assert response["allowed"] is True
    assert "patch" not in response


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 400, id="nothing"),
        pytest.param(b"{", 400, id="no JSON"),
        pytest.param(b"{}", 400, id="no review"),
        pytest.param(b'{"request": {"uid": "u", "object": null}}', 400, id="no object"),
        pytest.param(b"\xff", 400, id="no UTF-8"),
        pytest.param(b"x" * (5 * 1024 * 1024), 413, id="too large"),
    ],
)
async def test_what_is_no_review_is_refused(body: bytes, status: int) -> None:
    async with running() as hook:
        assert (await hook.call("POST", "/inject", body))[0] == status
        assert await hook.ready()


async def test_no_pod_is_injected_that_could_trust_nobody() -> None:
    async with running() as hook:
        hook.keys = []
        assert not await hook.ready()
        assert (await hook.call("POST", "/inject", REVIEW))[0] == 503


async def test_it_becomes_ready_when_a_failing_api_server_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "_RETRY_SECONDS", 0.01)
    async with running(failures=3) as hook:
        assert await hook.ready()
        assert hook.api.failures == 0


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(webhook, "_SPREAD_SECONDS", 0.1)


async def test_no_connection_is_kept_that_a_review_could_find_closed() -> None:
    async with running() as hook, aiohttp.ClientSession() as session:
        tls = ssl.create_default_context(cadata=hook.bundle())
        url = f"https://127.0.0.1:{hook.port}/inject"
        async with session.post(url, data=REVIEW, ssl=tls, server_hostname=NAME) as answer:
            assert answer.headers["Connection"] == "close"


@pytest.mark.usefixtures("fast")
async def test_no_call_fails_while_certificates_change() -> None:
    async with asyncio.timeout(10), running() as hook:
        for _ in range(3):
            before = await hook.certificate()
            del hook.api.objects[SECRET]
            while await hook.certificate() == before:
                assert (await hook.admit())["allowed"] is True
            assert (await hook.admit())["allowed"] is True


@pytest.mark.usefixtures("fast")
async def test_a_connection_that_is_open_outlives_a_change_of_certificates() -> None:
    async with asyncio.timeout(10), running() as hook, aiohttp.ClientSession() as session:
        tls = ssl.create_default_context(cadata=hook.bundle())
        url = f"https://127.0.0.1:{hook.port}/readyz"
        assert (await session.get(url, ssl=tls, server_hostname=NAME)).status == 200
        before = await hook.certificate()
        del hook.api.objects[SECRET]
        while await hook.certificate() == before:
            assert (await session.get(url, ssl=tls, server_hostname=NAME)).status == 200
        assert (await session.get(url, ssl=tls, server_hostname=NAME)).status == 200
