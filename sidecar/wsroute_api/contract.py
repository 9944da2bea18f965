"""Names and numbers on which the operator, the sidecar, the chart and the plugin must agree."""

from __future__ import annotations

from typing import Final

GROUP: Final = "wsroute.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "WebSocketRoute"
PLURAL: Final = "websocketroutes"
SINGULAR: Final = "websocketroute"
SHORT_NAME: Final = "wsr"

CONTAINER: Final = "wsroute"
"""Name of the injected container, of its volume and of its data port."""

DATA_PORT: Final = 9300
PUSH_PORT: Final = 9301
HEALTH_PORT: Final = 9302
SIDECAR_PORTS: Final = frozenset({DATA_PORT, PUSH_PORT, HEALTH_PORT})

RUN_DIRECTORY: Final = "/run/wsroute"
CONTROL_SOCKET: Final = f"{RUN_DIRECTORY}/control.sock"
SNAPSHOT_FILE: Final = f"{RUN_DIRECTORY}/snapshot.jws"

INJECT_LABEL: Final = f"{GROUP}/inject"
INJECTED_ANNOTATION: Final = f"{GROUP}/injected"
BOOTSTRAP_ANNOTATION: Final = f"{GROUP}/bootstrap"
"""Holds a pod's first snapshot, signed at its admission."""
BOOTSTRAP_MAX_BYTES: Final = 32 * 1024
"""All annotations of a pod share 256 KiB; an environment variable may have 128 KiB."""

SNAPSHOT_PATH: Final = "/v1/snapshot"
SNAPSHOT_MEDIA_TYPE: Final = "application/jose"
SNAPSHOT_MAX_BYTES: Final = 4 * 1024 * 1024

ENV_NAMESPACE: Final = "WSROUTE_NAMESPACE"
ENV_POD_NAME: Final = "WSROUTE_POD_NAME"
ENV_POD_UID: Final = "WSROUTE_POD_UID"
ENV_NONCE: Final = "WSROUTE_NONCE"
ENV_BOOTSTRAP: Final = "WSROUTE_BOOTSTRAP"
ENV_PUBLIC_KEYS: Final = "WSROUTE_PUBLIC_KEYS"
"""Comma-separated Ed25519 public keys, each the URL-safe base64 of its 32 bytes (RFC 8037)."""
