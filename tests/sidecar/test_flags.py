"""The command line."""

from __future__ import annotations

import pytest

from wsroute_sidecar import commands, flags
from wsroute_sidecar.config import FLAGS


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param([], id="nothing"),
        pytest.param(["--listen", "127.0.0.1:1", "--relay", "native"], id="apart"),
        pytest.param(["--listen=127.0.0.1:1", "--routes=/a=b.yaml"], id="joined"),
        pytest.param(["--relay", "auto", "--relay=native"], id="the last one counts"),
        pytest.param(["--routes=", "--state", ""], id="empty"),
        pytest.param(["--listen=-1"], id="joined with a dash"),
        pytest.param(["--tls-cert", "a b", "--log-level", "debug"], id="with a space"),
    ],
)
def test_flags_and_values_are_read_as_argparse_reads_them(argv: list[str]) -> None:
    assert flags.plain(argv) == vars(commands.parser().parse_args(argv))


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["--help"], id="help"),
        pytest.param(["--version"], id="version"),
        pytest.param(["drain", "--wait"], id="a command"),
        pytest.param(["--relay", "auto", "routes"], id="a command after a flag"),
        pytest.param(["--listen"], id="no value"),
        pytest.param(["--listen", "--relay"], id="another flag for a value"),
        pytest.param(["--list", "127.0.0.1:1"], id="an abbreviation"),
        pytest.param(["--no-such-flag=1"], id="an unknown flag"),
        pytest.param(["--"], id="an end"),
        pytest.param([""], id="an empty word"),
    ],
)
def test_all_else_is_argparses(argv: list[str]) -> None:
    assert flags.plain(argv) is None


def test_every_flag_tells_its_variable() -> None:
    told = commands.parser().format_help()
    assert all(f"[WSROUTE_{name.upper()}]" in told.replace("\n", " ") for name in FLAGS)
