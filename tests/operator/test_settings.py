from __future__ import annotations

import pytest

from wsroute_api.address import Address
from wsroute_operator.settings import Settings, parse


def test_a_flag_wins_over_the_environment_which_wins_over_the_default() -> None:
    environ = {"WSROUTE_OPERATOR_LEASE_NAME": "from-environment"}
    assert parse([], {}).lease_name == Settings().lease_name
    assert parse([], environ).lease_name == "from-environment"
    assert parse(["--lease-name=from-flag"], environ).lease_name == "from-flag"


def test_the_downward_api_names_the_replica_and_its_namespace() -> None:
    settings = parse([], {"POD_NAME": "operator-1", "POD_NAMESPACE": "system"})
    assert (settings.identity, settings.namespace) == ("operator-1", "system")


def test_values_have_their_types() -> None:
    settings = parse(["--listen=[::1]:81", "--relist-seconds=7.5"], {})
    assert settings.listen == Address("::1", 81)
    assert str(settings.listen) == "[::1]:81"
    assert settings.relist_seconds == 7.5


def test_by_default_it_listens_on_every_address_of_both_families() -> None:
    assert Settings().listen == parse(["--listen=:8080"], {}).listen == Address("", 8080)
    assert Settings().webhook_listen == Address("", 9443)


@pytest.mark.parametrize(
    "flag",
    [
        "--listen=8080",
        "--listen=x:65536",
        "--relist-seconds=0",
        "--relist-seconds=nan",
        "--relist-seconds=soon",
        "--signing-key-days=-1",
        "--signing-key-days=inf",
        "--log-level=loud",
        "--log-format=xml",
        "--unknown=1",
    ],
)
def test_a_mistake_ends_with_usage(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([flag], {})
    assert ended.value.code == 2
    assert flag.partition("=")[0] in capsys.readouterr().err


def test_help_names_each_flags_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"], {})
    assert "[WSROUTE_OPERATOR_LEASE_NAME]" in " ".join(capsys.readouterr().out.split())
