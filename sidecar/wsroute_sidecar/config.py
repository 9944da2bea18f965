"""Settings of the process: flags, each with an environment variable of the same name."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from wsroute_api import contract
from wsroute_api.address import Address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Settings(NamedTuple):
    """All that the sidecar can be told at its start."""

    routes: Path | None = None
    listen: Address = Address("", contract.DATA_PORT)
    push: Address = Address("", contract.PUSH_PORT)
    metrics: Address = Address("", contract.HEALTH_PORT)
    control: Path = Path(contract.CONTROL_SOCKET)
    state: Path = Path(contract.SNAPSHOT_FILE)
    backend_host: str = "127.0.0.1"
    relay: str = "auto"
    log_level: str = "info"
    log_format: str = "auto"
    trusted_proxies: tuple[Network, ...] = ()
    proxy_protocol: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tracing: bool = False
    namespace: str = "default"
    pod_uid: str = ""
    public_keys: tuple[str, ...] = ()
    nonce: str = ""
    bootstrap: bytes = b""


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


FLAGS: Final[Mapping[str, tuple[Callable[[str], Any], str, str]]] = {
    "routes": (Path, "FILE", "serve the WebSocketRoutes of this YAML file, without a cluster"),
    "listen": (Address.parse, "HOST:PORT", "where clients connect"),
    "push": (Address.parse, "HOST:PORT", "where the operator pushes snapshots"),
    "metrics": (Address.parse, "HOST:PORT", "health and metrics"),
    "control": (Path, "PATH", "Unix socket for management"),
    "state": (Path, "PATH", "where the last good snapshot is kept"),
    "backend_host": (str, "ADDRESS", "address of the backends' ports"),
    "relay": (str, "ENGINE", "auto, native or asyncio"),
    "log_level": (str, "LEVEL", "debug, info, warning or error"),
    "log_format": (str, "FORMAT", "json, text, or auto: text on a terminal"),
    "trusted_proxies": (_networks, "CIDRS", "peers whose forwarding headers are believed"),
    "proxy_protocol": (_switch, "BOOL", "trusted proxies begin with a PROXY protocol v2 header"),
    "tls_cert": (Path, "FILE", "serve wss and https with this certificate chain, PEM"),
    "tls_key": (Path, "FILE", "its private key, PEM"),
    "tracing": (_switch, "BOOL", "OpenTelemetry spans, if its library is installed"),
}
"""How a setting that a person may choose is read, and what `--help` says of it."""

_IDENTITY: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "namespace": (contract.ENV_NAMESPACE, str),
    "pod_uid": (contract.ENV_POD_UID, str),
    "public_keys": (contract.ENV_PUBLIC_KEYS, _words),
    "nonce": (contract.ENV_NONCE, str),
    "bootstrap": (contract.ENV_BOOTSTRAP, str.encode),
}


def settings(flags: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that `flags` and then `environ` ask for; ValueError names the wrong one."""
    chosen: dict[str, Any] = {}
    for name, (parse, _, _) in FLAGS.items():
        text = flags.get(name) or environ.get(f"WSROUTE_{name.upper()}")
        if text:
            try:
                chosen[name] = parse(text)
            except ValueError as error:
                raise ValueError(f"--{name.replace('_', '-')}: {error}") from error
    for name, (variable, parse) in _IDENTITY.items():
        if text := environ.get(variable):
            chosen[name] = parse(text)
    _one_of("--relay", chosen.get("relay", "auto"), ("auto", "native", "asyncio"))
    _one_of("--log-level", chosen.get("log_level", "info"), ("debug", "info", "warning", "error"))
    _one_of("--log-format", chosen.get("log_format", "auto"), ("auto", "json", "text"))
    if ("tls_cert" in chosen) != ("tls_key" in chosen):
        raise ValueError("--tls-cert and --tls-key go together")
    if "tls_cert" in chosen and chosen.get("proxy_protocol"):
        raise ValueError("--proxy-protocol cannot be had with --tls-cert: end TLS before it")
    return Settings(**chosen)


def _one_of(flag: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{flag}: {value!r} is none of {', '.join(allowed)}")
