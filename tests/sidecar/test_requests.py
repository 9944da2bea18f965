"""Heads in, a head that means one thing or a refusal out. What llhttp refuses itself is tested
against the running sidecar.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.feature.strictness.refusals import BAD_HOSTS, BAD_TARGETS
from wsroute_sidecar.requests import Checked, Refusal, check, hostname, indexed, tokens

Fields = Sequence[tuple[bytes, bytes]]

HTTP_1_0, HTTP_1_1 = (1, 0), (1, 1)
HOST = (b"Host", b"a.example")


def checked(
    *fields: tuple[bytes, bytes],
    method: str = "GET",
    target: str = "/",
    version: tuple[int, int] = HTTP_1_1,
) -> Checked | Refusal:
    return check(method, target, version, fields)


def status(found: Checked | Refusal) -> int:
    return found.status if isinstance(found, Refusal) else 200


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a/b", "/a/b", ""),
        ("/a?b=c&d", "/a", "b=c&d"),
        ("/a?", "/a", ""),
        ("/?a?b", "/", "a?b"),
        ("/%C3%A9%20", "/%C3%A9%20", ""),
        ("/a;v=1/../b//", "/a;v=1/../b//", ""),
        ("/'()*!$&+,=:@[]{}|^`\"<>", "/'()*!$&+,=:@[]{}|^`\"<>", ""),
        ("http://a.example/x?y", "/x", "y"),
        ("HTTP://A.example:80/x", "/x", ""),
        ("ws://a.example/x", "/x", ""),
        ("https://a.example:443", "/", ""),
        ("http://a.example?x", "/", "x"),
    ],
)
def test_a_target_is_split_and_forwarded_as_it_came(target: str, path: str, query: str) -> None:
    found = checked(HOST, target=target)
    assert isinstance(found, Checked)
    assert (found.path, found.query) == (path, query)
    assert found.target.startswith(path)


@pytest.mark.parametrize(
    "target",
    [
        *(target.decode("utf-8", "surrogateescape") for target in BAD_TARGETS),
        "",
        "/a b",
        "/a\tb",
        "//a.example/\x00",
        "http://a.example#x",
    ],
    ids=repr,
)
def test_a_target_that_two_readers_could_take_differently_is_refused(target: str) -> None:
    assert status(checked(HOST, target=target)) == 400


@pytest.mark.parametrize(
    ("value", "known_as"),
    [
        (b"a.example", "a.example"),
        (b"A.Example", "a.example"),
        (b"a.example.", "a.example"),
        (b"a.example:8080", "a.example"),
        (b"a.example:", "a.example"),
        (b"10.0.0.1:80", "10.0.0.1"),
        (b"[::1]", "[::1]"),
        (b"[FE80::1]:9300", "[fe80::1]"),
        (b"xn--caf-dma.example", "xn--caf-dma.example"),
        (b"under_score.example", "under_score.example"),
    ],
)
def test_a_host_is_known_without_port_case_and_last_dot(value: bytes, known_as: str) -> None:
    found = checked((b"Host", value))
    assert isinstance(found, Checked)
    assert (found.host, found.hostname) == (value.decode(), known_as)
    assert hostname(found.host) == known_as


@pytest.mark.parametrize("value", [*BAD_HOSTS, b"[::1%25eth0]"], ids=repr)
def test_a_malformed_host_is_refused(value: bytes) -> None:
    assert status(checked((b"Host", value))) == 400


@pytest.mark.parametrize(
    ("fields", "version", "expected"),
    [
        pytest.param([], HTTP_1_1, 400, id="none in HTTP/1.1"),
        pytest.param([], HTTP_1_0, 200, id="none in HTTP/1.0"),
        pytest.param([HOST, HOST], HTTP_1_1, 400, id="twice the same"),
        pytest.param([HOST, (b"host", b"b")], HTTP_1_1, 400, id="two of them"),
        pytest.param([HOST, HOST], HTTP_1_0, 400, id="twice in HTTP/1.0"),
    ],
)
def test_there_is_exactly_one_host(fields: Fields, version: tuple[int, int], expected: int) -> None:
    assert status(checked(*fields, version=version)) == expected


TE, CL = b"Transfer-Encoding", b"Content-Length"


@pytest.mark.parametrize(
    ("fields", "version", "expected"),
    [
        pytest.param([(TE, b"chunked")], HTTP_1_1, 200, id="chunked"),
        pytest.param([(TE, b"Chunked")], HTTP_1_1, 200, id="chunked in capitals"),
        pytest.param([(CL, b"5")], HTTP_1_1, 200, id="a length"),
        pytest.param([(CL, b"5")], HTTP_1_0, 200, id="a length in HTTP/1.0"),
        pytest.param([(TE, b"chunked"), (CL, b"5")], HTTP_1_1, 400, id="both"),
        pytest.param([(CL, b"5"), (TE, b"chunked")], HTTP_1_1, 400, id="both, the other way"),
        pytest.param([(CL, b"5"), (CL, b"5")], HTTP_1_1, 400, id="equal lengths"),
        pytest.param([(CL, b"5"), (CL, b"6")], HTTP_1_1, 400, id="different lengths"),
        pytest.param([(CL, b"5, 5")], HTTP_1_1, 400, id="a list of lengths"),
        pytest.param([(CL, b"+5")], HTTP_1_1, 400, id="a sign"),
        pytest.param([(CL, b"-5")], HTTP_1_1, 400, id="a negative length"),
        pytest.param([(CL, b"0x5")], HTTP_1_1, 400, id="a length in hex"),
        pytest.param([(CL, b"5_0")], HTTP_1_1, 400, id="a length with an underscore"),
        pytest.param([(CL, b"5.0")], HTTP_1_1, 400, id="a fraction"),
        pytest.param([(CL, b"")], HTTP_1_1, 400, id="no length"),
        pytest.param([(CL, b"\xb2")], HTTP_1_1, 400, id="a superscript two"),
        pytest.param([(CL, b"9" * 19)], HTTP_1_1, 400, id="more than 64 bits"),
        pytest.param([(CL, b"9" * 18)], HTTP_1_1, 200, id="less than 64 bits"),
        pytest.param([(TE, b"chunked")], HTTP_1_0, 400, id="chunked in HTTP/1.0"),
        pytest.param([(TE, b"chunked"), (TE, b"chunked")], HTTP_1_1, 400, id="chunked twice"),
        pytest.param([(TE, b"chunked, chunked")], HTTP_1_1, 400, id="chunked twice in a list"),
        pytest.param([(TE, b"gzip, chunked")], HTTP_1_1, 400, id="gzip too"),
        pytest.param([(TE, b"gzip")], HTTP_1_1, 400, id="gzip only"),
        pytest.param([(TE, b"identity")], HTTP_1_1, 400, id="identity"),
        pytest.param([(TE, b"xchunked")], HTTP_1_1, 400, id="xchunked"),
        pytest.param([(TE, b'"chunked"')], HTTP_1_1, 400, id="quoted"),
        pytest.param([(TE, b"chunked;q=1")], HTTP_1_1, 400, id="a parameter"),
        pytest.param([(TE, b"\x0bchunked")], HTTP_1_1, 400, id="a vertical tab"),
        pytest.param([(TE, b"")], HTTP_1_1, 400, id="an empty coding"),
    ],
)
def test_a_body_ends_in_one_place_only(
    fields: Fields, version: tuple[int, int], expected: int
) -> None:
    found = checked(HOST, *fields, method="POST", version=version)
    assert status(found) == expected


@pytest.mark.parametrize(
    "field",
    [
        pytest.param((b"X_A", b"1"), id="an underscore"),
        pytest.param((b"X A", b"1"), id="a space in the name"),
        pytest.param((b"X-A ", b"1"), id="a space after the name"),
        pytest.param((b"", b"1"), id="no name"),
        pytest.param((b":", b"1"), id="a colon for a name"),
        pytest.param((b"X:A", b"1"), id="a colon in the name"),
        pytest.param((b"X:", b"1"), id="a colon after the name"),
        pytest.param((b"X\xc3\xa9", b"1"), id="a name that is not ASCII"),
        pytest.param((b"X(A)", b"1"), id="a comment in the name"),
        pytest.param((b"X-A\n", b"1"), id="a newline after the name"),
        pytest.param((b"X-A", b"a\x00b"), id="NUL"),
        pytest.param((b"X-A", b"a\rb"), id="CR"),
        pytest.param((b"X-A", b"a\nb"), id="LF"),
        pytest.param((b"X-A", b"a\x0bb"), id="vertical tab"),
        pytest.param((b"X-A", b"a\x1bb"), id="escape"),
        pytest.param((b"X-A", b"a\x7fb"), id="delete"),
        pytest.param((b"X-A", b"\xe9"), id="Latin-1"),
        pytest.param((b"X-A", b"\xed\xa0\x80"), id="a surrogate in UTF-8"),
        pytest.param((b"X-A", b"\xc0\xaf"), id="overlong UTF-8"),
    ],
)
def test_a_field_that_others_read_differently_is_refused(field: tuple[bytes, bytes]) -> None:
    assert status(checked(HOST, field)) == 400
    assert status(checked(field, HOST)) == 400
    assert status(checked(HOST, field, (b"X-Z", b""))) == 400


@pytest.mark.parametrize("value", [b"", b"a\tb", b"caf\xc3\xa9", b"~!@#$%^&*()", b'"q,q"'])
def test_an_ordinary_value_passes(value: bytes) -> None:
    assert status(checked(HOST, (b"X-A", value))) == 200


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"close", 200),
        (b"keep-alive, Upgrade", 200),
        (b"X-Custom", 200),
        (b"", 200),
        (b"x-forwarded", 200),
        (b"Host", 400),
        (b"close, authorization", 400),
        (b"COOKIE", 400),
        (b"content-length", 400),
        (b"Content-Type", 400),
        (b"Origin", 400),
        (b"Forwarded", 400),
        (b"via", 400),
        (b"X-Real-IP", 400),
        (b"X-Forwarded-For", 400),
        (b"x-forwarded-anything", 400),
        (b"Sec-WebSocket-Key", 400),
        (b" \tsec-websocket-version ,", 400),
    ],
)
def test_connection_must_not_take_away_what_others_stand_on(value: bytes, expected: int) -> None:
    assert status(checked(HOST, (b"Connection", value))) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"100-continue", 200), (b"100-Continue", 200), (b"200-ok", 417), (b"", 417)],
)
def test_only_one_expectation_is_met(value: bytes, expected: int) -> None:
    assert status(checked(HOST, (b"Expect", value), method="POST")) == expected


@pytest.mark.parametrize(
    ("method", "version", "expected"),
    [
        ("CONNECT", HTTP_1_1, 405),
        ("DESCRIBE", HTTP_1_0, 501),
        ("PRI", HTTP_1_1, 501),
        ("GET", (0, 9), 505),
        ("GET", (1, 2), 505),
        ("GET", (2, 0), 505),
        ("GET", HTTP_1_0, 200),
        ("DELETE", HTTP_1_1, 200),
    ],
)
def test_methods_and_versions(method: str, version: tuple[int, int], expected: int) -> None:
    assert status(checked(HOST, method=method, version=version)) == expected


def test_an_asterisk_is_a_target_of_options_alone() -> None:
    assert status(checked(HOST, method="OPTIONS", target="*")) == 400


def test_more_fields_than_the_limit_are_too_many() -> None:
    fields = [(b"X-%d" % number, b"1") for number in range(101)]
    assert status(checked(HOST, *fields[:99])) == 200
    assert status(checked(HOST, *fields)) == 431


def test_more_bytes_than_the_limit_are_too_large() -> None:
    fields = [(b"X-%d" % number, b"1" * 9000) for number in range(8)]
    assert status(checked(HOST, *fields[:7])) == 200
    assert status(checked(HOST, *fields)) == 431


def test_elements_are_found_in_all_fields_of_a_name() -> None:
    fields = indexed([(b"A", b"x, Y"), (b"b", b"z"), (b"a", b",, W ,")])
    assert fields == {b"a": [b"x, Y", b",, W ,"], b"b": [b"z"]}
    assert tokens(fields, b"a") == [b"x", b"y", b"w"]


bytes_of_a_field = st.tuples(st.binary(max_size=12), st.binary(max_size=24))


@given(st.text(max_size=30), st.lists(bytes_of_a_field, max_size=6), st.booleans())
def test_no_head_raises(target: str, fields: list[tuple[bytes, bytes]], old: bool) -> None:
    found = checked(HOST, *fields, target=target, version=HTTP_1_0 if old else HTTP_1_1)
    assert isinstance(found, Checked | Refusal)
