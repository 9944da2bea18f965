from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from wsroute_api import contract
from wsroute_api.address import Address
from wsroute_sidecar.config import Settings, settings


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9300", Address("127.0.0.1", 9300)),
        ("localhost:0", Address("localhost", 0)),
        (":80", Address("", 80)),
        ("[::1]:65535", Address("::1", 65535)),
        ("[::]:1", Address("::", 1)),
    ],
)
def test_an_address_is_read_as_it_is_written(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "9300", "host", "host:", "host:http", "host:65536", "host:-1", "host: 1", "host:\u0661"],
    ids=repr,
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not HOST:PORT, such as 127\.0\.0\.1:9300"):
        Address.parse(text)


def test_without_flags_the_settings_are_a_pods() -> None:
    found = settings({}, {})
    assert found == Settings()
    assert (found.listen.port, found.push.port, found.metrics.port) == (9300, 9301, 9302)
    assert found.trusted_proxies == ()


def test_a_flag_goes_before_its_variable() -> None:
    environ = {"WSROUTE_LISTEN": "127.0.0.1:1", "WSROUTE_ROUTES": "/b.yaml"}
    found = settings({"listen": "127.0.0.1:2", "routes": None}, environ)
    assert (found.listen.port, found.routes) == (2, Path("/b.yaml"))


def test_an_empty_variable_is_no_setting() -> None:
    assert settings({}, {"WSROUTE_ROUTES": "", "WSROUTE_TRUSTED_PROXIES": ""}) == Settings()


def test_who_the_pod_is_comes_from_its_environment() -> None:
    environ = {
        contract.ENV_NAMESPACE: "shop",
        contract.ENV_POD_UID: "uid-1",
        contract.ENV_PUBLIC_KEYS: "one, two,",
    }
    found = settings({}, environ)
    assert (found.namespace, found.pod_uid, found.public_keys) == ("shop", "uid-1", ("one", "two"))


def test_trusted_proxies_are_networks_of_both_families() -> None:
    found = settings({"trusted_proxies": "10.0.0.0/8, 192.0.2.1,fd00::/8"}, {})
    assert found.trusted_proxies == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("192.0.2.1/32"),
        ipaddress.ip_network("fd00::/8"),
    )


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({"listen": "9300"}, r"--listen: '9300' is not HOST:PORT"),
        ({"trusted_proxies": "10.0.0.1/8"}, r"--trusted-proxies: 10\.0\.0\.1/8 has host bits set"),
        ({"trusted_proxies": "all"}, r"--trusted-proxies: 'all'"),
        ({"relay": "rust"}, r"--relay: 'rust' is none of auto, native, asyncio"),
        ({"log_level": "loud"}, r"--log-level: 'loud' is none of debug"),
        ({"log_format": "xml"}, r"--log-format: 'xml' is none of auto"),
    ],
)
def test_a_wrong_setting_is_named(flags: dict[str, str | None], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        settings(flags, {})


def test_a_wrong_variable_is_named_by_its_flag() -> None:
    with pytest.raises(ValueError, match="--push: 'x' is not HOST:PORT"):
        settings({}, {"WSROUTE_PUSH": "x"})
