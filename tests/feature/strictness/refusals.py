"""The table of refused requests: a name, the bytes, and the status."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.feature.strictness.rig import KEY, request, upgrade


class Case(NamedTuple):
    name: str
    request: bytes
    status: int


def _lines(start: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([start, *fields]) + b"\r\n\r\n"


HOST: Final = b"Host: a.example"

BAD_TARGETS: Final = (
    b"*",
    b"a",
    b"a.example:80",
    b"?a",
    b"/a#b",
    b"/#",
    b"/a?b#c",
    b"/a%",
    b"/a%2",
    b"/a%zz",
    b"/a%00",
    b"/?a=%00",
    b"/?a=%g1",
    b"/%u002e/",
    b"/a\x7f",
    b"/a\x01",
    b"/a\x00b",
    b"/caf\xc3\xa9",
    b"/caf\xe9",
    b"http://b.example/",
    b"http://a.example:8080/",
    b"https://a.example:80/",
    b"http://user@a.example/",
    b"http://a.example@b.example/",
    b"http://a.example\\@b.example/",
    b"http:///a",
    b"http://",
    b"http:/a.example/",
    b"http:a.example/",
    b"ftp://a.example/",
    b"file:///etc/passwd",
    b"javascript:alert(1)",
    b"http://a.example/#a",
    b"http://a.example:99999/",
    b"http://[::1/",
    b"\\",
)
"""Targets that two readers could take differently (RFC 9112 section 3.2, RFC 3986 section 2)."""

BAD_HOSTS: Final = (
    b"",
    b" ",
    b"a b",
    b"a,b",
    b"a, b",
    b"a/b",
    b"a?b",
    b"a#b",
    b"a@b",
    b"user@a.example",
    b"http://a.example",
    b"a.example:80:80",
    b"a.example:http",
    b"a.example:-1",
    b"a.example:+80",
    b"a.example:123456",
    b":80",
    b"::1",
    b"[::1",
    b"::1]",
    b"[]",
    b"[::1]a",
    b"[::1]:x",
    b"[a.example]",
    b"caf\xc3\xa9.example",
    b"a%2eexample",
    b"a%00",
    b"'a'",
    b'"a"',
    b"a;b",
    b"a\\b",
    b"<a>",
    b"{a}",
    b"a\x01",
)
"""Values of Host that are none (RFC 9110 section 7.2)."""


def _request_lines() -> Iterator[Case]:
    """RFC 9112 section 3."""
    for name, start in {
        "a method in small letters": b"get / HTTP/1.1",
        "an unknown method": b"FETCH / HTTP/1.1",
        "a method with NUL": b"GE\x00T / HTTP/1.1",
        "a method with a delimiter": b"GET: / HTTP/1.1",
        "no method": b"/ HTTP/1.1",
        "a space before the method": b" GET / HTTP/1.1",
        "a tab before the method": b"\tGET / HTTP/1.1",
        "a tab for a space": b"GET\t/ HTTP/1.1",
        "a tab before the version": b"GET /\tHTTP/1.1",
        "a form feed for a space": b"GET\x0c/ HTTP/1.1",
        "no target": b"GET HTTP/1.1",
        "a word after the version": b"GET / HTTP/1.1 x",
        "a space in the target": b"GET /a b HTTP/1.1",
        "HTTP/1.2": b"GET / HTTP/1.2",
        "HTTP/1.9": b"GET / HTTP/1.9",
        "HTTP/3.0": b"GET / HTTP/3.0",
        "HTTP/1": b"GET / HTTP/1",
        "HTTP/1.": b"GET / HTTP/1.",
        "HTTP/.1": b"GET / HTTP/.1",
        "HTTP/1.10": b"GET / HTTP/1.10",
        "HTTP/01.1": b"GET / HTTP/01.1",
        "HTTP/1,1": b"GET / HTTP/1,1",
        "HTTP/+1.1": b"GET / HTTP/+1.1",
        "http/1.1": b"GET / http/1.1",
        "HTTPS/1.1": b"GET / HTTPS/1.1",
        "HTP/1.1": b"GET / HTP/1.1",
        "ICY/1.1": b"GET / ICY/1.1",
        "a bare CR in the line": b"GET / HTTP/1.1\rX: y",
        "a bare LF after the line": b"GET / HTTP/1.1\nX: y",
        "NUL after the version": b"GET / HTTP/1.1\x00",
    }.items():
        yield Case(name, _lines(start, HOST), 400)
    for name, raw in {
        "a TLS client": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 32,
        "an SSH client": b"SSH-2.0-OpenSSH_9.6\r\n",
        "an SMTP client": b"EHLO a.example\r\n\r\n",
        "HTTP/2 by prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "a response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "bytes without a meaning": bytes(range(128, 256)),
        "NULs": b"\x00" * 64,
        "a WebSocket frame": b"\x81\x82\x00\x00\x00\x00hi",
        "only LF": b"GET / HTTP/1.1\nHost: a.example\n\n",
        "only CR": b"GET / HTTP/1.1\rHost: a.example\r\r",
        "a PROXY header of version 1": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + request(),
        "a PROXY header of version 2": b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00" + request(),
    }.items():
        yield Case(name, raw, 400)
    for version in (b"", b" HTTP/0.9", b" HTTP/2.0"):
        yield Case(f"the version {version.decode()!r}", _lines(b"GET /" + version, HOST), 505)
    for target in (b"a.example:80", b"/", b"a.example"):
        yield Case(f"CONNECT {target.decode()}", request(method=b"CONNECT", target=target), 405)
    for method in (b"DESCRIBE", b"ANNOUNCE", b"GET_PARAMETER", b"PLAY", b"SETUP"):
        yield Case(f"the method {method.decode()}", request(method=method), 400)
    yield Case("the method SOURCE", request(method=b"SOURCE"), 501)
    yield Case("RTSP", _lines(b"DESCRIBE rtsp://a.example/ RTSP/1.0", HOST), 501)
    yield Case("Icecast", _lines(b"SOURCE / ICE/1.0", HOST), 501)


def _targets() -> Iterator[Case]:
    """RFC 9112 section 3.2, RFC 3986 section 2."""
    for target in BAD_TARGETS:
        yield Case(f"the target {target!r}", request(target=target), 400)
    for method in (b"GET", b"POST", b"OPTIONS"):
        yield Case(f"{method.decode()} *", request(target=b"*", method=method), 400)
    yield Case("a target of 9 KB", request(target=b"/" + b"a" * 9000), 414)
    yield Case("a target of 100 KB", request(target=b"/" + b"a" * 100_000), 414)


def _hosts() -> Iterator[Case]:
    """RFC 9112 section 3.2, RFC 9110 section 7.2."""
    start = b"GET / HTTP/1.1"
    yield Case("no Host", _lines(start), 400)
    yield Case("no Host but an absolute target", _lines(b"GET http://a.example/ HTTP/1.1"), 400)
    yield Case("Host twice", _lines(start, HOST, HOST), 400)
    yield Case("two Hosts", _lines(start, HOST, b"Host: b.example"), 400)
    yield Case("two Hosts far apart", _lines(start, HOST, b"A: b", b"hOST: b.example"), 400)
    yield Case("Host twice in HTTP/1.0", _lines(b"GET / HTTP/1.0", HOST, HOST), 400)
    for value in BAD_HOSTS:
        yield Case(f"the Host {value!r}", _lines(start, b"Host: " + value), 400)


def _fields() -> Iterator[Case]:
    """RFC 9112 section 5, RFC 9110 section 5."""
    for name, line in {
        "a space before the colon": b"X-A : b",
        "a tab before the colon": b"X-A\t: b",
        "a fold with a space": b"X-A: b\r\n c",
        "a fold with a tab": b"X-A: b\r\n\tc",
        "an empty fold": b"X-A: b\r\n ",
        "a fold in Transfer-Encoding": b"Transfer-Encoding:\r\n chunked",
        "no colon": b"X-A",
        "no name": b": b",
        "a space in the name": b"X A: b",
        "an underscore in the name": b"X_A: b",
        "an underscore in a known name": b"Content_Length: 5",
        "a name that is not ASCII": b"X-\xc3\xa9: b",
        "a name in brackets": b"(X-A): b",
        "a name with NUL": b"X\x00A: b",
        "a name with CR": b"X\rA: b",
        "a name with a slash": b"X/A: b",
        "a name with a quote": b'"X": b',
        "NUL in a value": b"X-A: b\x00c",
        "a bare CR in a value": b"X-A: b\rc",
        "a bare CR before another field": b"X-A: b\rHost: evil.example",
        "a bare LF in a value": b"X-A: b\nc",
        "a bare LF before another field": b"X-A: b\nX-B: c",
        "CR CR LF": b"X-A: b\r\r\nX-B: c",
        "LF CR": b"X-A: b\n\rX-B: c",
        "a vertical tab in a value": b"X-A: b\x0bc",
        "a form feed in a value": b"X-A: b\x0cc",
        "an escape in a value": b"X-A: \x1b[31m",
        "a delete in a value": b"X-A: b\x7f",
        "a backspace in a value": b"X-A: b\x08",
        "Latin-1 in a value": b"X-A: caf\xe9",
        "a surrogate in a value": b"X-A: \xed\xa0\x80",
        "overlong UTF-8 in a value": b"X-A: \xc0\xaf",
        "UTF-16 in a value": b"X-A: \xff\xfeb",
        "a key of a WebSocket draft": b"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5",
    }.items():
        yield Case(name, request(line), 400)
    start = b"GET / HTTP/1.1"
    yield Case("a fold before the first field", _lines(start, b" " + HOST), 400)
    yield Case("a space before a later field", _lines(start, HOST, b" X-A: b"), 400)
    yield Case("an expectation that is unknown", request(b"Expect: 200-ok"), 417)
    yield Case("an empty expectation", request(b"Expect:"), 417)
    many = [b"X-%d: a" % number for number in range(100)]
    yield Case("101 fields", request(*many), 431)
    yield Case("2,000 fields", request(*many * 20), 431)
    yield Case("a value of 17 KB", request(b"X-A: " + b"a" * 17_000), 431)
    yield Case("a name of 17 KB", request(b"A" * 17_000 + b": a"), 431)
    yield Case("70 KB of fields", request(*[b"X-%d: " % n + b"a" * 10_000 for n in range(7)]), 431)
    yield Case("200 KB of fields", request(*[b"X: " + b"a" * 10_000] * 20), 431)
    yield Case("a cookie of 1 MB", request(b"Cookie: " + b"a" * 1_000_000), 431)


def _framing() -> Iterator[Case]:
    """RFC 9112 section 6: one place where a body ends."""
    chunks = b"0\r\n\r\n"
    te, cl = b"Transfer-Encoding: ", b"Content-Length: "
    for name, lines in {
        "both": [te + b"chunked", cl + b"5"],
        "both, the other way round": [cl + b"5", te + b"chunked"],
        "both, and a length of 0": [cl + b"0", te + b"chunked"],
        "both, and an unknown coding": [te + b"x", cl + b"5"],
        "both, in strange case": [b"tRANSFER-eNCODING: CHUNKED", b"content-LENGTH: 5"],
        "equal lengths": [cl + b"5", cl + b"5"],
        "different lengths": [cl + b"5", cl + b"6"],
        "a list of equal lengths": [cl + b"5, 5"],
        "a list of lengths": [cl + b"5,6"],
        "an empty length": [cl],
        "a sign": [cl + b"+5"],
        "a negative length": [cl + b"-1"],
        "a length in hex": [cl + b"0x5"],
        "a fraction": [cl + b"5.0"],
        "an exponent": [cl + b"1e1"],
        "an underscore in a length": [cl + b"1_0"],
        "a space in a length": [cl + b"1 0"],
        "letters after a length": [cl + b"5abc"],
        "a quoted length": [cl + b'"5"'],
        "a length of 19 digits": [cl + b"9" * 19],
        "a length of 2^64": [cl + b"18446744073709551616"],
        "a length of 2^64 and 5": [cl + b"18446744073709551621"],
        "a length of 200 digits": [cl + b"1" * 200],
        "an unknown coding": [te + b"x"],
        "identity": [te + b"identity"],
        "gzip": [te + b"gzip"],
        "gzip and chunked": [te + b"gzip, chunked"],
        "chunked and gzip": [te + b"chunked, gzip"],
        "chunked and identity": [te + b"chunked, identity"],
        "chunked twice": [te + b"chunked", te + b"chunked"],
        "chunked twice in a list": [te + b"chunked, chunked"],
        "chunked and a second, unknown field": [te + b"chunked", te + b"x"],
        "an unknown and a second, chunked field": [te + b"x", te + b"chunked"],
        "an empty coding": [te],
        "a comma before chunked": [te + b", chunked"],
        "a comma after chunked": [te + b"chunked,"],
        "a letter before chunked": [te + b"xchunked"],
        "a letter after chunked": [te + b"chunkedx"],
        "a quoted chunked": [te + b'"chunked"'],
        "chunked with a parameter": [te + b"chunked;q=1"],
        "a vertical tab before chunked": [te + b"\x0bchunked"],
        "NUL after chunked": [te + b"chunked\x00"],
    }.items():
        yield Case(f"{name} (framing)", request(*lines, method=b"POST", body=chunks), 400)
    old = b"POST / HTTP/1.0"
    yield Case("chunked in HTTP/1.0", _lines(old, HOST, te + b"chunked") + chunks, 400)
    yield Case("identity in HTTP/1.0", _lines(old, HOST, te + b"identity") + chunks, 400)


def _nominations() -> Iterator[Case]:
    """RFC 9110 section 7.6.1."""
    for name in (
        b"Host",
        b"host",
        b"Authorization",
        b"Cookie",
        b"Content-Length",
        b"Content-Type",
        b"Origin",
        b"Forwarded",
        b"Via",
        b"X-Real-IP",
        b"X-Forwarded-For",
        b"X-Forwarded-Proto",
        b"X-Forwarded-Host",
        b"Sec-WebSocket-Key",
        b"Sec-WebSocket-Version",
    ):
        yield Case(f"Connection: {name.decode()}", request(b"Connection: " + name), 400)
    for value in (b"close, Cookie", b"close,Cookie", b" ,Cookie ,", b"keep-alive,\tHOST"):
        yield Case(f"Connection: {value.decode()!r}", request(b"Connection: " + value), 400)
    yield Case(
        "a nomination in a second field",
        request(b"Connection: keep-alive", b"Connection: authorization"),
        400,
    )
    yield Case("a nomination in an upgrade", upgrade(b"Connection: cookie"), 400)


def _handshakes() -> Iterator[Case]:
    """RFC 6455 section 4."""
    for method in (b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH"):
        yield Case(f"an upgrade by {method.decode()}", upgrade(method=method), 400)
    yield Case("an upgrade with a body", upgrade(b"Content-Length: 2", body=b"hi"), 400)
    yield Case(
        "an upgrade with chunks",
        upgrade(b"Transfer-Encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n"),
        400,
    )
    version, key = b"Sec-WebSocket-Version", b"Sec-WebSocket-Key"
    yield Case("no version", upgrade(without=version), 400)
    yield Case("a version twice", upgrade(version + b": 13"), 400)
    for value in (b"0", b"7", b"8", b"12", b"14", b"130", b"013", b"13, 8", b"8, 13", b"x", b""):
        yield Case(
            f"version {value.decode()!r}", upgrade(version + b": " + value, without=version), 426
        )
    yield Case("no key", upgrade(without=key), 400)
    yield Case("a key twice", upgrade(key + b": " + KEY), 400)
    for name, value in {
        "an empty key": b"",
        "a short key": b"c2hvcnQ=",
        "a key of 15 bytes": b"MTIzNDU2Nzg5MDEyMzQ1",
        "a key of 17 bytes": b"MTIzNDU2Nzg5MDEyMzQ1Njc=",
        "a key without padding": KEY[:-2],
        "a key with more padding": KEY + b"=",
        "a key in the URL's alphabet": b"dGhlIHNhbXBsZSBub25j-_==",
        "a key with a space": b"dGhlIHNhbXBs ZSBub25jZQ==",
        "a key with a letter beyond ASCII": b"dGhlIHNhbXBsZSBub25jZ\xc3\xa9=",
        "two keys in one": KEY + b", " + KEY,
        "a key of 1 KB": b"a" * 1024,
    }.items():
        yield Case(name, upgrade(key + b": " + value, without=key), 400)
    origin = b"Origin: "
    for name, lines in {
        "another origin": [origin + b"https://evil.example"],
        "no origin": [],
        "the origin null": [origin + b"null"],
        "an empty origin": [origin],
        "the origin over http": [origin + b"http://a.example.com"],
        "an origin with a port": [origin + b"https://a.example.com:8443"],
        "an origin that only ends alike": [origin + b"https://evilexample.com"],
        "an origin that only begins alike": [origin + b"https://a.example.com.evil.example"],
        "an origin with a path": [origin + b"https://evil.example/.example.com"],
        "an origin with a user": [origin + b"https://evil@a.example.com"],
        "two origins": [origin + b"https://a.example.com", origin + b"https://evil.example"],
        "two origins in one": [origin + b"https://a.example.com, https://evil.example"],
    }.items():
        yield Case(f"{name} (origin)", upgrade(*lines, target=b"/origin"), 403)


def _routes() -> Iterator[Case]:
    """What the routes do not serve, or not in this way."""
    yield Case("an upgrade where none may be", upgrade(target=b"/admin"), 403)
    yield Case("no upgrade where one must be", request(target=b"/ws"), 426)
    yield Case("POST where an upgrade must be", request(target=b"/ws", method=b"POST"), 426)
    yield Case(
        "an upgrade to something else where one must be",
        request(b"Connection: Upgrade", b"Upgrade: h2c", target=b"/ws"),
        426,
    )
    yield Case(
        "an upgrade in HTTP/1.0 where one must be",
        upgrade(target=b"/ws").replace(b"HTTP/1.1", b"HTTP/1.0"),
        426,
    )
    yield Case(
        "an Upgrade without Connection where one must be",
        upgrade(target=b"/ws", without=b"Connection"),
        426,
    )
    for target in (
        b"/%61dmin",
        b"//admin",
        b"/./admin",
        b"/x/../admin",
        b"/x/%2e%2e/admin",
        b"/x/%2E./admin",
        b"/x/..%2fadmin",
        b"/x%2f..%2fadmin",
        b"/x/..%5cadmin",
        b"/x\\..\\admin",
        b"/x/..;/admin",
        b"/;a/admin",
        b"/%5cadmin",
        b"/%2fadmin",
        b"/admin;a",
        b"/admin;a/b",
        b"/admin/..",
        b"/admin/../x",
        b"/admin/%2e%2e/x",
        b"/admin%2fx",
        b"/admin%5cx",
        b"/ws/../admin",
        b"/ws/..%2f",
    ):
        yield Case(f"a path with two readings: {target.decode()}", request(target=target), 400)
    yield Case("an upgrade with two readings", upgrade(target=b"/%61dmin"), 400)
    yield Case("an upgrade to a port that is closed", upgrade(target=b"/dead"), 502)
    yield Case("an upgrade where the page has moved", upgrade(target=b"/moved"), 302)


CASES: Final = [
    *_request_lines(),
    *_targets(),
    *_hosts(),
    *_fields(),
    *_framing(),
    *_nominations(),
    *_handshakes(),
    *_routes(),
]
