from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsroute_sidecar.handshake import (
    MAX_HEAD,
    Answer,
    BadAnswer,
    Switched,
    Upgrade,
    accept_for,
    head_end,
    parse_head,
    upgrade_request,
    verdict,
)
from wsroute_sidecar.requests import Checked, Refusal, check

Fields = Sequence[tuple[bytes, bytes]]

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GOOD: dict[bytes, bytes] = {
    b"Host": b"a.example",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Key": KEY,
}


def asked(
    fields: Fields, *, method: str = "GET", version: tuple[int, int] = (1, 1), body: bool = False
) -> Upgrade | Refusal | None:
    head = check(method, "/", version, fields)
    assert isinstance(head, Checked)
    return upgrade_request(head, version, has_body=body)


def changed(**fields: bytes | None) -> Fields:
    names = {"upgrade": b"Upgrade", "connection": b"Connection", "host": b"Host"}
    names |= {"version": b"Sec-WebSocket-Version", "key": b"Sec-WebSocket-Key"}
    merged: dict[bytes, bytes | None] = {**GOOD}
    merged |= {names[name]: value for name, value in fields.items()}
    return [(name, value) for name, value in merged.items() if value is not None]


def test_the_rfcs_example_gives_the_rfcs_accept() -> None:
    assert accept_for(KEY) == ACCEPT


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(changed(), id="as RFC 6455 has it"),
        pytest.param(changed(upgrade=b"WebSocket"), id="capitals in Upgrade"),
        pytest.param(changed(connection=b"upgrade"), id="small letters in Connection"),
        pytest.param(changed(connection=b"keep-alive, Upgrade"), id="Firefox's Connection"),
        pytest.param(changed(connection=b"keep-alive,,  UPGRADE ,"), id="empty elements"),
        pytest.param(
            [*changed(connection=None), (b"Connection", b"close"), (b"connection", b"upgrade")],
            id="Connection twice",
        ),
    ],
)
def test_an_upgrade_request_is_one_in_any_spelling(fields: Fields) -> None:
    assert asked(fields) == Upgrade(ACCEPT, ())


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        pytest.param(changed(upgrade=None), (1, 1), id="no Upgrade"),
        pytest.param(changed(upgrade=b"h2c"), (1, 1), id="h2c"),
        pytest.param(changed(upgrade=b"foo"), (1, 1), id="an unknown protocol"),
        pytest.param(changed(upgrade=b"websocket, h2c"), (1, 1), id="a list"),
        pytest.param(changed(upgrade=b"h2c, websocket"), (1, 1), id="a list, websocket last"),
        pytest.param([*changed(), (b"Upgrade", b"websocket")], (1, 1), id="Upgrade twice"),
        pytest.param(changed(upgrade=b"websocket/13"), (1, 1), id="a protocol's version"),
        pytest.param(changed(upgrade=b""), (1, 1), id="an empty Upgrade"),
        pytest.param(changed(connection=None), (1, 1), id="no Connection"),
        pytest.param(changed(connection=b"close"), (1, 1), id="Connection without upgrade"),
        pytest.param(changed(connection=b"upgrades"), (1, 1), id="a longer token"),
        pytest.param(changed(), (1, 0), id="HTTP/1.0"),
    ],
)
def test_what_is_no_upgrade_to_websocket_is_plain_http(
    fields: Fields, version: tuple[int, int]
) -> None:
    assert asked(fields, version=version) is None


@pytest.mark.parametrize(
    ("fields", "method", "body", "status"),
    [
        pytest.param(changed(), "POST", False, 400, id="POST"),
        pytest.param(changed(), "HEAD", False, 400, id="HEAD"),
        pytest.param(changed(), "GET", True, 400, id="a body"),
        pytest.param(changed(version=None), "GET", False, 400, id="no version"),
        pytest.param(changed(version=b"8"), "GET", False, 426, id="version 8"),
        pytest.param(changed(version=b"14"), "GET", False, 426, id="version 14"),
        pytest.param(changed(version=b"013"), "GET", False, 426, id="a leading zero"),
        pytest.param(changed(version=b"13, 8"), "GET", False, 426, id="a list of versions"),
        pytest.param(changed(version=b""), "GET", False, 426, id="an empty version"),
        pytest.param(
            [*changed(), (b"Sec-WebSocket-Version", b"13")], "GET", False, 400, id="version twice"
        ),
        pytest.param(changed(key=None), "GET", False, 400, id="no key"),
        pytest.param([*changed(), (b"Sec-WebSocket-Key", KEY)], "GET", False, 400, id="key twice"),
        *(
            pytest.param(changed(key=key), "GET", False, 400, id=f"key {key!r}")
            for key in (
                b"",
                b"short",
                KEY[:-1],
                KEY + b"=",
                KEY[:-2],
                b"dGhlIHNhbXBsZSBub25jZTE=",
                b"dGhlIHNhbXBsZSBub25jZ!==",
                b"dGhlIHNhbXBsZSBub25jZ\xc3\xa9=",
                b"dGhl-HNhbXBsZSBub25jZ_==",
                KEY + b", " + KEY,
                b"=" * 24,
            )
        ),
    ],
)
def test_a_broken_handshake_is_refused(
    fields: Fields, method: str, body: bool, status: int
) -> None:
    refusal = asked(fields, method=method, body=body)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.close) == (status, True)
    assert (("Sec-WebSocket-Version", "13") in refusal.headers) == (status == 426)


@pytest.mark.parametrize(
    ("values", "offered"),
    [
        ([b"chat"], ("chat",)),
        ([b"chat, superchat"], ("chat", "superchat")),
        ([b"chat", b"superchat"], ("chat", "superchat")),
        ([b" , chat ,"], ("chat",)),
        ([b"Chat"], ("Chat",)),
    ],
)
def test_offers_are_kept_in_order_and_case(values: list[bytes], offered: tuple[str, ...]) -> None:
    found = asked([*changed(), *((b"Sec-WebSocket-Protocol", value) for value in values)])
    assert isinstance(found, Upgrade)
    assert found.subprotocols == offered


STATUS = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("head", "status", "headers"),
    [
        (STATUS + b"\r\n", 200, ()),
        (b"HTTP/1.0 404 Not Found\r\n\r\n", 404, ()),
        (b"HTTP/1.1 599 \r\n\r\n", 599, ()),
        (b"HTTP/1.1 200\r\n\r\n", 200, ()),
        (b"HTTP/1.1 200 caf\xe9\r\n\r\n", 200, ()),
        (STATUS + b"A: b\r\nc:d \t\r\n\r\n", 200, ((b"A", b"b"), (b"c", b"d"))),
        (STATUS + b"A:\r\n\r\n", 200, ((b"A", b""),)),
        (STATUS + b"X_A: \xe9\r\n\r\n", 200, ((b"X_A", b"\xe9"),)),
    ],
)
def test_a_response_head_is_read(head: bytes, status: int, headers: Fields) -> None:
    assert parse_head(head) == Answer(status, headers)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"\r\n\r\n", id="nothing"),
        pytest.param(b"HTTP/2 200 OK\r\n\r\n", id="HTTP/2"),
        pytest.param(b"HTTP/1.2 200 OK\r\n\r\n", id="HTTP/1.2"),
        pytest.param(b"http/1.1 200 OK\r\n\r\n", id="small letters"),
        pytest.param(b"HTTP/1.1 20 OK\r\n\r\n", id="two digits"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", id="four digits"),
        pytest.param(b"HTTP/1.1 600 OK\r\n\r\n", id="status 600"),
        pytest.param(b"HTTP/1.1 099 OK\r\n\r\n", id="status 099"),
        pytest.param(b"HTTP/1.1  200 OK\r\n\r\n", id="two spaces"),
        pytest.param(b"HTTP/1.1\t200 OK\r\n\r\n", id="a tab"),
        pytest.param(b"HTTP/1.1 200 O\x00K\r\n\r\n", id="NUL in the reason"),
        pytest.param(b"HTTP/1.1 200 O\nX: y\r\n\r\n", id="a bare LF in the reason"),
        pytest.param(b"HTTP/1.1 200OK\r\n\r\n", id="no space"),
        pytest.param(b" HTTP/1.1 200 OK\r\n\r\n", id="a leading space"),
        pytest.param(STATUS + b"A : b\r\n\r\n", id="a space before the colon"),
        pytest.param(STATUS + b" A: b\r\n\r\n", id="a fold"),
        pytest.param(STATUS + b"A: b\r\n c\r\n\r\n", id="a fold after a field"),
        pytest.param(STATUS + b"A\r\n\r\n", id="no colon"),
        pytest.param(STATUS + b": b\r\n\r\n", id="no name"),
        pytest.param(STATUS + b"A: b\x00\r\n\r\n", id="NUL"),
        pytest.param(STATUS + b"A: b\nX: y\r\n\r\n", id="a bare LF"),
        pytest.param(STATUS + b"A: b\rX: y\r\n\r\n", id="a bare CR"),
        pytest.param(STATUS + b"caf\xc3\xa9: b\r\n\r\n", id="a name that is not ASCII"),
    ],
)
def test_a_response_head_that_two_readers_could_take_differently_is_bad(head: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse_head(head)


@pytest.mark.parametrize(
    ("data", "end"),
    [(b"", 0), (b"a\r\n", 0), (b"a\r\n\r", 0), (b"a\r\n\r\n", 5), (b"a\r\n\r\nbc\r\n\r\n", 5)],
)
def test_a_head_ends_with_its_first_blank_line(data: bytes, end: int) -> None:
    assert head_end(data) == head_end(bytearray(data)) == end


@pytest.mark.parametrize("data", [b"a" * (MAX_HEAD + 1), b"a" * (MAX_HEAD + 1) + b"\r\n\r\n"])
def test_a_head_beyond_the_limit_is_bad_finished_or_not(data: bytes) -> None:
    with pytest.raises(BadAnswer, match="too long"):
        head_end(data)


@given(st.binary(max_size=200))
def test_no_answer_raises_anything_else(data: bytes) -> None:
    try:
        parse_head(data + b"\r\n\r\n")
    except BadAnswer as error:
        assert str(error)  # noqa: PT017 - either outcome is right


UPGRADE = Upgrade(ACCEPT, ("chat", "superchat"))
SWITCHING: dict[bytes, bytes | None] = {
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Accept": ACCEPT,
}


def answered(*more: tuple[bytes, bytes], status: int = 101, **fields: bytes | None) -> Answer:
    names = {"upgrade": b"Upgrade", "connection": b"Connection", "accept": b"Sec-WebSocket-Accept"}
    merged = SWITCHING | {names[name]: value for name, value in fields.items()}
    kept = [(name, value) for name, value in merged.items() if value is not None]
    return Answer(status, (*kept, *more))


@pytest.mark.parametrize(
    ("answer", "subprotocol"),
    [
        pytest.param(answered(), "", id="plain"),
        pytest.param(answered(upgrade=b"WebSocket", connection=b"upgrade"), "", id="other case"),
        pytest.param(answered(connection=b"keep-alive, Upgrade"), "", id="a list in Connection"),
        pytest.param(answered((b"Sec-WebSocket-Protocol", b"chat")), "chat", id="a subprotocol"),
        pytest.param(
            answered((b"Sec-WebSocket-Protocol", b"caf\xe9")),
            "caf\u00e9",
            id="a subprotocol nobody offered, which is for the client to refuse",
        ),
    ],
)
def test_a_right_101_opens_the_tunnel(answer: Answer, subprotocol: str) -> None:
    assert verdict(answer, UPGRADE) == Switched(answer.headers, subprotocol)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(answered(upgrade=None), id="no Upgrade"),
        pytest.param(answered(upgrade=b"h2c"), id="Upgrade to something else"),
        pytest.param(answered(upgrade=b"websocket, h2c"), id="Upgrade to two"),
        pytest.param(answered((b"Upgrade", b"websocket")), id="Upgrade twice"),
        pytest.param(answered(connection=None), id="no Connection"),
        pytest.param(answered(connection=b"close"), id="Connection: close"),
        pytest.param(answered(accept=None), id="no accept"),
        pytest.param(answered(accept=b"x" + ACCEPT[1:]), id="a wrong accept"),
        pytest.param(answered(accept=ACCEPT.lower()), id="an accept in small letters"),
        pytest.param(answered((b"Sec-WebSocket-Accept", ACCEPT)), id="accept twice"),
    ],
)
def test_a_wrong_101_is_bad(answer: Answer) -> None:
    with pytest.raises(BadAnswer):
        verdict(answer, UPGRADE)


@pytest.mark.parametrize("status", [100, 102, 103, 200, 204, 301, 401, 403, 426, 500, 503])
def test_anything_but_101_is_an_ordinary_response(status: int) -> None:
    answer = answered(status=status)
    assert verdict(answer, UPGRADE) is answer
