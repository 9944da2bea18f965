"""Routes that change under live tunnels, by a file or by signed snapshots."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import aiohttp
import pytest
from nacl.signing import SigningKey
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request

from tests.support.sidecar import Sidecar, both_engines, route
from tests.support.traffic import echo, tunnel
from wsroute_api import contract, snapshot
from wsroute_api.problems import route_from_object
from wsroute_api.types import Table

pytestmark = both_engines

KEY: Final = SigningKey(b"k" * 32)
POD: Final = "6f1c-pod"
IDENTITY: Final = {
    contract.ENV_NAMESPACE: "default",
    contract.ENV_POD_UID: POD,
    contract.ENV_PUBLIC_KEYS: snapshot.key_text(KEY.verify_key),
}

Manifests = Sequence[Mapping[str, Any]]


class Source(Protocol):
    """Where a sidecar's routes come from."""

    sidecar: Sidecar

    async def change(self, routes: Manifests) -> None:
        """Give it these routes, and wait until it serves them."""

    async def refused(self, routes: Manifests) -> str:
        """Give it these routes, which it does not take; why not."""


class File:
    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar

    async def change(self, routes: Manifests) -> None:
        line = await asyncio.to_thread(self.sidecar.reload, routes)
        assert (line["event"], line["routes"]) == ("routes_loaded", len(routes))

    async def refused(self, routes: Manifests) -> str:
        line = await asyncio.to_thread(self.sidecar.reload, routes)
        assert (line["event"], line["level"]) == ("routes_not_loaded", "error")
        return str(line["why"])


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]


class Operator:
    """Pushes snapshots as the operator does."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar
        self.epoch = 1
        self.seq = 0

    async def put(self, body: bytes) -> Answer:
        url = f"http://127.0.0.1:{self.sidecar.push}{contract.SNAPSHOT_PATH}"
        headers = {"Content-Type": contract.SNAPSHOT_MEDIA_TYPE}
        data = io.BytesIO(body)
        async with aiohttp.request("PUT", url, data=data, headers=headers) as answer:
            return Answer(answer.status, await answer.json())

    async def in_use(self) -> Answer:
        url = f"http://127.0.0.1:{self.sidecar.push}{contract.SNAPSHOT_PATH}"
        async with aiohttp.request("GET", url) as answer:
            return Answer(answer.status, await answer.json())

    def sign(self, table: bytes, *, key: SigningKey = KEY, aud: str = POD, age: int = 0) -> bytes:
        self.seq += 1
        iat = int(time.time()) - age
        return snapshot.sign(
            table, key, aud=aud, epoch=self.epoch, seq=self.seq, iat=iat, exp=iat + 60
        )

    async def change(self, routes: Manifests) -> None:
        answer = await self.put(self.sign(table(routes)))
        assert answer.status == 200, answer.body
        assert answer.body["seq"] == self.seq

    async def refused(self, routes: Manifests) -> str:
        answer = await self.put(self.sign(table(routes)))
        assert answer.status == 422
        return str(answer.body["error"])


def table(routes: Manifests, namespace: str = "default") -> bytes:
    """A table as JSON; what is wrong with a route's spec is left in it."""
    right = [route_from_object({**manifest, "spec": SPEC}) for manifest in routes]
    raw = json.loads(snapshot.encode_table(Table(namespace=namespace, routes=right)))
    for encoded, manifest in zip(raw.get("routes", ()), routes, strict=True):
        encoded["spec"] = manifest["spec"]
    return json.dumps(raw).encode()


SPEC: Final = route(1)["spec"]


@contextlib.asynccontextmanager
async def by_file(routes: Manifests) -> AsyncIterator[Source]:
    with Sidecar(routes) as sidecar:
        yield File(sidecar)


@contextlib.asynccontextmanager
async def by_push(routes: Manifests) -> AsyncIterator[Operator]:
    with Sidecar(env=IDENTITY) as sidecar:
        operator = Operator(sidecar)
        await operator.change(routes)
        yield operator


Start = Callable[[Manifests], contextlib.AbstractAsyncContextManager[Source]]


@pytest.fixture(params=[by_file, by_push], ids=["file", "push"])
def start(request: pytest.FixtureRequest) -> Start:
    begin: Start = request.param
    return begin


@pytest.fixture
async def one() -> AsyncIterator[int]:
    async with echo("one") as port:
        yield port


@pytest.fixture
async def two() -> AsyncIterator[int]:
    async with echo("two") as port:
        yield port


def at(path: str, port: int, *, name: str, **rule: Any) -> dict[str, Any]:
    return route(port, name=name, matches=[{"path": {"value": path}}], **rule)


async def backend(sidecar: Sidecar, path: str = "/") -> str | int:
    """The name of the server that a new handshake reaches, or the status that refuses it."""
    try:
        async with tunnel(sidecar, path) as opened:
            return opened.backend
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_tunnels_lose_no_byte_while_routes_are_edited_added_and_deleted(
    start: Start, one: int, two: int
) -> None:
    kept, edited = at("/kept", one, name="kept"), at("/edited", one, name="edited")
    deleted = at("/deleted", one, name="deleted")
    async with start([kept, edited, deleted]) as source:
        sidecar = source.sidecar
        async with (
            tunnel(sidecar, "/kept") as unchanged,
            tunnel(sidecar, "/edited") as changed,
            tunnel(sidecar, "/deleted") as gone,
        ):
            await source.change(
                [kept, at("/edited", two, name="edited"), at("/new", two, name="new")]
            )
            assert await backend(sidecar, "/kept") == "one"
            assert await backend(sidecar, "/edited") == "two"
            assert await backend(sidecar, "/new") == "two"
            assert await backend(sidecar, "/deleted") == 404
            await source.change([])
            assert await backend(sidecar, "/kept") == 404
            for opened in (unchanged, changed, gone):
                assert opened.backend == "one"
                await opened.flows()
        assert sidecar.errors() == []


@pytest.mark.parametrize("how", ["edited", "deleted"])
@pytest.mark.parametrize("mode", ["Drain", "Close"])
async def test_a_change_ends_the_tunnels_of_its_route_where_the_route_asks_for_it(
    start: Start, one: int, two: int, mode: str, how: str
) -> None:
    other = at("/other", one, name="other", drain={"onRouteChange": mode})
    drain = {"onRouteChange": mode, "timeout": "300ms"}
    chat = at("/chat", one, name="chat", drain=drain)
    new = [at("/chat", two, name="chat", drain=drain)] if how == "edited" else []
    async with start([chat, other]) as source:
        sidecar = source.sidecar
        async with (
            tunnel(sidecar, "/chat") as first,
            tunnel(sidecar, "/chat") as second,
            tunnel(sidecar, "/other") as unchanged,
        ):
            await source.change([*new, other])
            assert await backend(sidecar, "/chat") == ("two" if new else 404)
            for opened in (first, second):
                assert await opened.closed() == (1001, "route has changed")
            await unchanged.flows()
        reasons = [(item["route"], item["reason"]) for item in sidecar.ended()]
        assert reasons.count(("default/chat", "route_change")) == 2
        assert reasons.count(("default/other", "route_change")) == 0


async def test_a_handshake_that_a_change_overtakes_ends_like_the_tunnels_of_its_route(
    start: Start, two: int
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def hesitate(_: ServerConnection, __: Request) -> None:
        asked.set()
        await go_on.wait()

    async with serve(
        ServerConnection.wait_closed, "127.0.0.1", 0, process_request=hesitate
    ) as slow:
        port = next(iter(slow.sockets)).getsockname()[1]
        drain = {"onRouteChange": "Close", "closeCode": 1012}
        async with start([route(port, drain=drain)]) as source:
            uri = f"ws://127.0.0.1:{source.sidecar.port}/"
            connecting = asyncio.ensure_future(connect(uri).__aenter__())
            await asked.wait()
            await source.change([route(two)])
            go_on.set()
            async with asyncio.timeout(5):
                client = await connecting
                await client.wait_closed()
            assert (client.close_code, client.close_reason) == (1012, "route has changed")


def without_port(good: dict[str, Any]) -> dict[str, Any]:
    bad = copy.deepcopy(good)
    del bad["spec"]["rules"][0]["backend"]["port"]
    return bad


def with_field(good: dict[str, Any]) -> dict[str, Any]:
    bad = copy.deepcopy(good)
    bad["spec"]["rules"][0]["retries"] = 3
    return bad


def with_regex(good: dict[str, Any]) -> dict[str, Any]:
    bad = copy.deepcopy(good)
    bad["spec"]["rules"][0]["matches"] = [{"path": {"type": "RegularExpression", "value": "/("}}]
    return bad


MISTAKES: Final = {
    without_port: "missing required field `port`",
    with_field: "unknown field `retries`",
    with_regex: "spec.rules[0].matches[0].path.value",
}


async def test_a_mistake_is_told_and_leaves_everything_as_it_was(
    start: Start, one: int, two: int
) -> None:
    good = route(one, drain={"onRouteChange": "Close"})
    async with start([good]) as source, tunnel(source.sidecar) as opened:
        for spoil, why in MISTAKES.items():
            said = await source.refused([spoil(route(two))])
            assert why in said, spoil
            assert await backend(source.sidecar) == "one"
            await opened.flows()
        await source.change([route(two)])
        assert await opened.closed() == (1001, "route has changed")


async def test_a_file_that_is_no_yaml_leaves_everything_as_it_was(one: int) -> None:
    with Sidecar([route(one)]) as sidecar:
        for text in ("{", "kind: [", "\x00", "- : -\n :", "[" * 5000):
            line = await asyncio.to_thread(sidecar.reload, text)
            assert line["event"] == "routes_not_loaded", text
            assert await backend(sidecar) == "one"
        line = await asyncio.to_thread(sidecar.reload, [])
        assert line["event"] == "routes_loaded"


# What is said of snapshots.


async def test_before_the_first_snapshot_nothing_is_served_and_nothing_is_ready(one: int) -> None:
    with Sidecar(env=IDENTITY) as sidecar:
        operator = Operator(sidecar)
        assert await ready(sidecar) == 503
        assert (await operator.in_use()).status == 404
        assert await backend(sidecar) == 503
        await operator.change([])
        assert await ready(sidecar) == 200
        assert await backend(sidecar) == 404
        await operator.change([route(one)])
        assert await backend(sidecar) == "one"


async def ready(sidecar: Sidecar) -> int:
    async with aiohttp.request("GET", f"http://127.0.0.1:{sidecar.metrics}/readyz") as answer:
        return answer.status


async def test_the_snapshot_in_use_is_told_without_its_content(one: int) -> None:
    async with by_push([route(one)]) as operator:
        status, body = await operator.in_use()
    assert status == 200
    digest = snapshot.digest(table([route(one)]))
    assert body == {"digest": digest, "epoch": 1, "seq": 1, "routes": {"default/app": 1}}


async def test_the_same_routes_again_are_no_change(one: int) -> None:
    async with by_push([route(one, drain={"onRouteChange": "Close"})]) as operator:
        sidecar = operator.sidecar
        async with tunnel(sidecar) as opened:
            await operator.change([route(one, drain={"onRouteChange": "Close"})])
            await opened.flows()
        await asyncio.to_thread(sidecar.logged, "tunnel_ended")
        assert [line["event"] for line in sidecar.log].count("routes_loaded") == 1


Attempt = Callable[[Operator, bytes], Awaitable[Answer]]


async def forged(operator: Operator, new: bytes) -> Answer:
    return await operator.put(operator.sign(new, key=SigningKey(b"x" * 32)))


async def changed(operator: Operator, new: bytes) -> Answer:
    header, _, signature = operator.sign(new).split(b".")
    _, claims, _ = operator.sign(new, aud="other").split(b".")
    return await operator.put(b".".join((header, claims, signature)))


async def malformed(operator: Operator, new: bytes) -> Answer:
    return await operator.put(new)


async def expired(operator: Operator, new: bytes) -> Answer:
    return await operator.put(operator.sign(new, age=3600))


async def misdirected(operator: Operator, new: bytes) -> Answer:
    return await operator.put(operator.sign(new, aud="another-pod"))


async def of_another_tenant(operator: Operator, new: bytes) -> Answer:
    raw = json.loads(new)
    raw["namespace"] = "kube-system"
    return await operator.put(operator.sign(json.dumps(raw).encode()))


async def older(operator: Operator, new: bytes) -> Answer:
    operator.seq = 0
    return await operator.put(operator.sign(new))


async def of_an_older_leader(operator: Operator, new: bytes) -> Answer:
    operator.epoch = 0
    answer = await operator.put(operator.sign(new))
    operator.epoch = 1
    return answer


async def too_large(operator: Operator, _: bytes) -> Answer:
    return await operator.put(b"x" * (contract.SNAPSHOT_MAX_BYTES + 1))


ATTEMPTS: Final[Mapping[Attempt, int]] = {
    forged: 403,
    changed: 403,
    malformed: 403,
    expired: 403,
    older: 409,
    of_an_older_leader: 409,
    too_large: 413,
    misdirected: 421,
    of_another_tenant: 421,
}


async def test_a_snapshot_that_must_not_be_taken_changes_nothing(one: int, two: int) -> None:
    async with by_push([route(one)]) as operator:
        before = await operator.in_use()
        for attempt, status in ATTEMPTS.items():
            answer = await attempt(operator, table([route(two)]))
            assert answer.status == status, attempt
            assert answer.body["error"], attempt
            assert await operator.in_use() == before, attempt
            assert await backend(operator.sidecar) == "one", attempt


async def test_a_flood_of_snapshots_is_held_back_and_then_over(one: int) -> None:
    async with by_push([route(one)]) as operator:
        answers = await asyncio.gather(*(operator.put(b"x") for _ in range(60)))
        assert {answer.status for answer in answers} == {403, 429}
        while (answer := await operator.put(operator.sign(table([])))).status == 429:
            pass
        assert answer.status == 200


async def test_a_restarted_sidecar_serves_the_kept_snapshot_at_once(
    one: int, two: int, tmp_path: Path
) -> None:
    state = f"--state={tmp_path / 'snapshot.jws'}"
    with Sidecar(None, state, env=IDENTITY) as sidecar:
        await Operator(sidecar).change([route(one)])
    with Sidecar(None, state, env=IDENTITY) as sidecar:
        assert await ready(sidecar) == 200
        assert await backend(sidecar) == "one"
        operator = Operator(sidecar)
        status, body = await operator.in_use()
        assert (status, body["epoch"], body["seq"]) == (200, 1, 1)
        assert (await of_an_older_leader(operator, table([route(two)]))).status == 409
        await operator.change([route(two)])
        assert await backend(sidecar) == "two"


async def test_a_kept_snapshot_that_is_broken_is_passed_over(one: int, tmp_path: Path) -> None:
    state = tmp_path / "snapshot.jws"
    state.write_bytes(b"half a snap")
    with Sidecar(None, f"--state={state}", env=IDENTITY) as sidecar:
        assert await ready(sidecar) == 503
        await Operator(sidecar).change([route(one)])
        assert await backend(sidecar) == "one"
