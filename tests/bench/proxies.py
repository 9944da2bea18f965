"""The proxies: how each is configured and started, with one worker and else its own defaults.

What is set besides: WebSocket upgrades, no access log, timeouts that do not end an idle tunnel, and
room for the tunnels of the idle scenario (twice as many descriptors).
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bench import install

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.bench.processes import Argv

ROOM = 9_000


@dataclass(frozen=True)
class Place:
    """Where a proxy listens, what it forwards to, and a folder of its own for its files."""

    port: int
    backend: int
    folder: Path

    def write(self, name: str, text: str) -> Path:
        """A configuration file."""
        path = self.folder / name
        path.write_text(text)
        return path


@dataclass(frozen=True)
class Proxy:
    """A proxy: `find` gives its program, installed if need be, `command` how to start it there."""

    name: str
    find: Callable[[], Path]
    command: Callable[[Path, Place], Argv]
    version_flag: str = "--version"
    own: bool = False


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _nginx(program: Path, place: Place) -> Argv:
    scratch = "".join(
        f"{kind}_temp_path {place.folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = f"""
daemon off; worker_processes 1; pid {place.folder}/nginx.pid;
events {{ worker_connections {ROOM}; }}
http {{
  access_log off; {scratch}
  server {{
    listen 127.0.0.1:{place.port};
    location / {{
      proxy_pass http://127.0.0.1:{place.backend};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_read_timeout 1h; proxy_send_timeout 1h;
    }}
  }}
}}
"""
    config_path = place.write("nginx.conf", config)
    return [program, "-e", "stderr", "-p", place.folder, "-c", config_path]


def _haproxy(program: Path, place: Place) -> Argv:
    config = f"""
global
  maxconn {ROOM}
  nbthread 1
defaults
  mode http
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend clients
  bind 127.0.0.1:{place.port}
  default_backend echo
backend echo
  server echo 127.0.0.1:{place.backend}
"""
    return [program, "-db", "-f", place.write("haproxy.cfg", config)]


def _envoy(program: Path, place: Place) -> Argv:
    def address(port: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    def typed(name: str, **fields: object) -> dict[str, Any]:
        return {"@type": f"type.googleapis.com/envoy.extensions.filters.{name}", **fields}

    router = {"name": "router", "typed_config": typed("http.router.v3.Router")}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "echo", "timeout": "0s"}}
    manager = typed(
        "network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="clients",
        stream_idle_timeout="3600s",
        upgrade_configs=[{"upgrade_type": "websocket"}],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        http_filters=[router],
    )
    endpoint = {"endpoint": {"address": address(place.backend)}}
    cluster = {
        "name": "echo",
        "load_assignment": {
            "cluster_name": "echo",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        # The default threshold is 1,024 connections.
        "circuit_breakers": {"thresholds": [{"max_connections": ROOM, "max_requests": ROOM}]},
    }
    listener = {
        "address": address(place.port),
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
    }
    config = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    config_path = place.write("envoy.json", json.dumps(config))
    flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return [program, "-c", config_path, *flags]


def _chp(program: Path, place: Place) -> Argv:
    listen = ["--ip", "127.0.0.1", "--port", str(place.port)]
    api = ["--api-ip", "127.0.0.1", "--api-port", str(free_port()), "--log-level", "error"]
    return [program, *listen, *api, "--default-target", f"http://127.0.0.1:{place.backend}"]


def _wsroute(relay: str) -> Callable[[Path, Place], Argv]:
    def command(program: Path, place: Place) -> Argv:
        route = manifest("echo", wsroute_spec(place.backend))
        routes = place.write("routes.yaml", json.dumps(route))
        spare = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        addresses: Argv = [
            "--push",
            spare[0],
            "--metrics",
            spare[1],
            "--control",
            place.folder / "sock",
        ]
        listen: Argv = ["--routes", routes, "--listen", f"127.0.0.1:{place.port}"]
        return [program, *listen, *addresses, "--relay", relay]

    return command


def wsroute_spec(backend: int) -> dict[str, Any]:
    """A route's spec that sends everything to the backend's port, with every deadline set."""
    rule = {
        "backend": {"port": backend},
        "timeouts": {"handshake": "10s", "request": "60s"},
        "connection": {"idleTimeout": "1h", "maxDuration": "8h", "maxDurationJitter": 10},
        "keepalive": {"pingInterval": "30s", "pongTimeout": "10s"},
        "limits": {"maxConnections": ROOM},
    }
    return {"selector": {"matchLabels": {"app": "echo"}}, "rules": [rule]}


def manifest(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A WebSocketRoute of the namespace `bench`."""
    metadata = {"name": name, "namespace": "bench"}
    return {
        "apiVersion": "wsroute.dev/v1alpha1",
        "kind": "WebSocketRoute",
        "metadata": metadata,
        "spec": spec,
    }


PROXIES = [
    Proxy("nginx", lambda: install.debian("nginx"), _nginx, "-v"),
    Proxy("haproxy", lambda: install.debian("haproxy"), _haproxy, "-v"),
    Proxy("envoy", install.envoy, _envoy),
    Proxy("chp", install.chp, _chp),
    Proxy("wsroute-asyncio", install.wsroute, _wsroute("asyncio"), own=True),
    Proxy("wsroute-native", install.wsroute_native, _wsroute("native"), own=True),
]
