"""Settings of the operator: flags, each with an environment variable of the same name.

A setting is one annotated field of `Settings`: `--lease-name` sets `lease_name`, and so does
WSROUTE_OPERATOR_LEASE_NAME. Flags win over the environment, the environment over the default.
"""

# ruff: noqa: RUF009 - `_setting` returns a dataclasses.field
from __future__ import annotations

import argparse
import dataclasses
import ipaddress
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from wsroute_api.address import Address
from wsroute_api.version import Version
from wsroute_operator.container import Resources
from wsroute_operator.tuning import LOG_LEVELS

PREFIX: Final = "WSROUTE_OPERATOR_"

_POD_VARIABLES: Final = {"namespace": "POD_NAMESPACE", "identity": "POD_NAME"}
"""Settings that the downward API gives under names of its own."""


def _networks(text: str) -> str:
    """`text` as it is, if it is a list of networks as sidecars read it."""
    for part in text.split(","):
        ipaddress.ip_network(part.strip())
    return text


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is none of {', '.join(allowed)}")
        return text

    return parse


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(f"{text!r} is not a positive number")
    return number


def _days(text: str) -> float | None:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{text!r} is not a number of days")
    return number or None


def _setting(default: Any, parse: Callable[[str], Any], metavar: str, help_text: str) -> Any:
    """A field of `Settings` that a flag and a variable set; `parse` raises ValueError."""
    about = {"parse": parse, "metavar": metavar, "help": help_text}
    return dataclasses.field(default=default, metadata=about)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the operator can be told at its start."""

    namespace: str = _setting(
        "default", str, "NAME", "the operator's own namespace: Lease and Secrets [POD_NAMESPACE]"
    )
    identity: str = _setting(
        socket.gethostname(), str, "NAME", "this replica's name in the Lease [POD_NAME]"
    )
    lease_name: str = _setting("wsroute-operator", str, "NAME", "the Lease that elects the leader")
    keys_secret: str = _setting(
        "wsroute-signing-keys", str, "NAME", "the Secret of the keys that sign snapshots"
    )
    signing_key_days: float | None = _setting(
        90.0, _days, "DAYS", "age at which a newer key is made; 0 leaves the Secret to others"
    )
    listen: Address = _setting(
        Address("", 8080), Address.parse, "[HOST]:PORT", "health and metrics"
    )
    relist_seconds: float = _setting(
        300.0, _positive, "SECONDS", "time between two comparisons with what the API server lists"
    )
    sidecar_image: str = _setting(
        "", str, "IMAGE", "what the webhook injects; without one no webhook is served"
    )
    sidecar_pull_policy: str = _setting(
        "IfNotPresent",
        _one_of("Always", "IfNotPresent", "Never"),
        "POLICY",
        "the sidecars' image pull policy",
    )
    sidecar_log_level: str = _setting("info", _one_of(*LOG_LEVELS), "LEVEL", "the sidecars' own")
    sidecar_resources: Resources = _setting(
        Resources(), Resources.parse, "JSON", "the sidecars' requests and limits"
    )
    sidecar_trusted_proxies: str = _setting(
        "", _networks, "CIDRS", "peers whose forwarding headers the sidecars believe"
    )
    webhook_listen: Address = _setting(
        Address("", 9443), Address.parse, "[HOST]:PORT", "the injecting webhook, over TLS"
    )
    webhook_service: str = _setting(
        "wsroute-webhook", str, "NAME", "the Service through which API servers call the webhook"
    )
    webhook_configuration: str = _setting(
        "wsroute-webhook", str, "NAME", "the MutatingWebhookConfiguration that names the webhook"
    )
    webhook_secret: str = _setting(
        "wsroute-webhook", str, "NAME", "the Secret of the webhook's certificates"
    )
    webhook_certificates: str = _setting(
        "managed",
        _one_of("managed", "existing"),
        "HOW",
        "managed: made and renewed in that Secret; existing: taken from it as they are",
    )
    log_level: str = _setting(
        "info",
        _one_of(*LOG_LEVELS),
        "LEVEL",
        "debug, info, warning or error",
    )
    log_format: str = _setting(
        "auto", _one_of("auto", "json", "text"), "FORMAT", "json, text, or auto: text on a terminal"
    )


def parse(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that `arguments` and then `environ` ask for; exits with usage on a mistake."""
    parser = argparse.ArgumentParser(
        prog="wsroute-operator",
        description="Push WebSocketRoutes to the sidecars of the pods that they select.",
    )
    parser.add_argument("--version", action=Version)
    fields = dataclasses.fields(Settings)
    for field in fields:
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            metavar=field.metadata["metavar"],
            help=f"{field.metadata['help']} (default {field.default}) [{_variable(field.name)}]",
        )
    flags = vars(parser.parse_args(arguments))
    chosen: dict[str, Any] = {}
    for field in fields:
        text = flags[field.name] or environ.get(_variable(field.name)) or _downward(field, environ)
        if text:
            try:
                chosen[field.name] = field.metadata["parse"](text)
            except ValueError as error:
                parser.error(f"--{field.name.replace('_', '-')}: {error}")
    return Settings(**chosen)


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _downward(field: dataclasses.Field[Any], environ: Mapping[str, str]) -> str | None:
    return environ.get(_POD_VARIABLES.get(field.name, ""))
