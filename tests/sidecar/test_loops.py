"""The event loop, with and without OpenSSL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wsroute_sidecar import lean
from wsroute_sidecar.config import Settings

CHAIN = Path("chain.pem")
BEGIN = """
import sys
from pathlib import Path, PosixPath
from wsroute_sidecar import loops
from wsroute_sidecar.config import Address, Settings
loop = loops.factory({settings!r})()
import asyncio
"""


def said(settings: Settings, program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN.format(settings=settings) + program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("settings", "openssl"),
    [
        pytest.param(Settings(), [], id="as in a pod"),
        pytest.param(Settings(relay="asyncio"), [], id="the portable engine"),
        pytest.param(Settings(proxy_protocol=True), [], id="the PROXY protocol"),
        pytest.param(Settings(tls_cert=CHAIN, tls_key=CHAIN), ["_ssl", "_hashlib"], id="TLS"),
        pytest.param(Settings(tracing=True), ["_ssl", "_hashlib"], id="spans"),
    ],
)
def test_uvloop_serves_and_openssl_is_there_for_tls(settings: Settings, openssl: list[str]) -> None:
    program = (
        "import hashlib\n"
        "there = [name for name in ('_ssl', '_hashlib') if sys.modules.get(name)]\n"
        "print(type(loop).__module__, there, asyncio.base_events.ssl is not None)"
    )
    assert said(settings, program) == f"uvloop {openssl} {bool(openssl)}"


def test_without_openssl_ssl_is_not_there() -> None:
    program = "try: import ssl\nexcept ImportError: print('missed')"
    assert said(Settings(), program) == "missed"


def test_without_openssl_uvloop_says_no_to_tls() -> None:
    program = (
        "async def serve():\n"
        "    try: await loop.create_server(asyncio.Protocol, '127.0.0.1', 0, ssl=object())\n"
        "    except TypeError: print('refused')\n"
        "loop.run_until_complete(serve())"
    )
    assert said(Settings(), program) == "refused"


def test_without_openssl_aiohttps_client_is_there_for_plain_http() -> None:
    program = "import wsroute_sidecar.plain; print(wsroute_sidecar.plain.Backend.__name__)"
    assert said(Settings(), program) == "Backend"


def test_sha1_and_sha256_are_the_same_without_openssl() -> None:
    program = (
        "import hashlib, hmac, random, secrets, uuid\n"
        "print(hashlib.sha1(b'a').hexdigest()[:8], hashlib.sha256(b'a').hexdigest()[:8])"
    )
    assert said(Settings(), program) == "86f7e437 ca978112"


def test_openssls_hashes_stay_where_python_has_no_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ssl", "_hashlib"):
        monkeypatch.setitem(sys.modules, module, sys.modules.get(module))
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(lean, "_BUILTIN_HASHES", ("_sha1", "_no_such_hash"))
    lean.leave_out_openssl()
    assert "ssl" in sys.modules
    assert "_hashlib" not in sys.modules
