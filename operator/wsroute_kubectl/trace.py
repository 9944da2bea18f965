"""`trace`: which rule a request would belong to, and why it does not belong to the others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from wsroute_api import contract, manifests
from wsroute_api.explain import Explanation, Reading, explain, title
from wsroute_api.matching import Ambiguous, Candidate, Facts, compile_re2
from wsroute_api.problems import problems, route_from_object
from wsroute_api.types import Route
from wsroute_kubectl import terminal
from wsroute_kubectl.kubectl import Kubectl
from wsroute_kubectl.pods import get_route, get_running
from wsroute_kubectl.status import is_ready


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give `parser` what `trace` takes."""
    parser.add_argument("target", nargs="?", metavar="ROUTE|pod/NAME", help="of the cluster")
    parser.add_argument(
        "-f", "--filename", metavar="FILE", help="routes of this file instead, - for standard input"
    )
    parser.add_argument("--url", required=True, help="ws, wss, http or https; the path counts")
    parser.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'", help="may be repeated"
    )
    parser.add_argument("--method", default="GET", help="method of the request (default GET)")
    parser.add_argument(
        "--subprotocol", action="append", default=[], metavar="NAME", help="may be repeated"
    )


def trace(kubectl: Kubectl, flags: Mapping[str, Any]) -> int:
    """Explain one request; exit status 1 if it belongs to no rule."""
    if (flags["target"] is None) == (flags["filename"] is None):
        raise ValueError("trace: name a route, a pod as pod/NAME, or a file with -f")
    request = facts(flags["url"], flags["header"], flags["method"], flags["subprotocol"])
    routes = _routes(kubectl, flags)
    mistakes = {route.key: problems(route.spec, compile_re2) for route in routes}
    explained = explain([route for route in routes if not mistakes[route.key]], request)
    terminal.show("\n".join(told(request, explained)))
    wrong = terminal.complain(
        f"{key} is given to no pod: {found[0]}" for key, found in mistakes.items() if found
    )
    return wrong or int(not isinstance(explained.found, Candidate))


def _routes(kubectl: Kubectl, flags: Mapping[str, Any]) -> list[Route]:
    """The routes that compete: of the file, in the pod, or with the same selector."""
    target, file = flags["target"], flags["filename"]
    if file is not None:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return list(manifests.parse(text))
    if target.startswith("pod/"):
        pod = get_running(kubectl, target)
        return msgspec.json.decode(kubectl.ask(pod.name, "routes"), type=list[Route])
    wanted = get_route(kubectl, target)["spec"]["selector"]
    listed = kubectl.get(f"{contract.PLURAL}.{contract.GROUP}")["items"]
    competing = [found for found in listed if found["spec"]["selector"] == wanted]
    for name in (found["metadata"]["name"] for found in competing if not is_ready(found)):
        terminal.note(f"{name} is not ready, so pods may differ: see status {name}, trace pod/NAME")
    return [route_from_object(found) for found in competing]


class _Headers(dict[str, str]):
    """Values by name, whatever its case; repeated fields are joined (RFC 9110 section 5.3)."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__()
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise ValueError(f"--header {line!r} is not 'NAME: VALUE'")
            key, text = name.strip().lower(), value.strip()
            self[key] = f"{self[key]}, {text}" if key in self else text

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        return super().get(name.lower(), default)


def facts(url: str, headers: Sequence[str], method: str, subprotocols: Sequence[str]) -> Facts:
    """The request that a client makes of `url`; ValueError says what is wrong with it."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
        raise ValueError(f"--url {url!r} is not such as ws://chat.example.com/ws")
    fields = _Headers(headers)
    upgrade = parts.scheme in ("ws", "wss")
    if upgrade and method != "GET":
        raise ValueError("--method: a WebSocket begins with a GET")
    if subprotocols and not upgrade:
        raise ValueError("--subprotocol: only a WebSocket has them, use a ws:// URL")
    named = fields.get("host")
    return Facts(
        host=_host(parts if named is None else urlsplit(f"//{named}")),
        path=parts.path or "/",
        method=method,
        headers=fields,
        query=parts.query,
        subprotocols=tuple(subprotocols),
    )


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").removesuffix(".")
    return f"[{host}]" if ":" in host else host


def told(request: Facts, explained: Explanation) -> Iterator[str]:
    """The lines that explain."""
    found = explained.found
    where = f"{request.method} {request.host}{request.path}"
    if isinstance(found, Candidate):
        yield f"{where} belongs to {title(found)}, port {found.rule.backend.port}"
    elif isinstance(found, Ambiguous):
        yield f"{where} is refused with 400: it can also be read as {found.liberal}, elsewhere"
    else:
        yield f"{where} belongs to no match: 404"
    for reading in explained.readings:
        yield from _others(reading)


def _others(reading: Reading) -> Iterator[str]:
    if reading.obstacles:
        yield f"not {title(reading.candidate)}"
        yield from (f"    {obstacle}" for obstacle in reading.obstacles)
