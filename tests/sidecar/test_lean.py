"""What a sidecar of WebSockets alone does not hold in memory."""

from __future__ import annotations

import subprocess
import sys

POSTPONED = "import sys; from wsroute_sidecar import lean; lean.postpone('aiohttp')\n"


def said(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_server_needs_nothing_of_aiohttps_client() -> None:
    program = "import wsroute_sidecar.server; print('aiohttp.client' in sys.modules)"
    assert said(POSTPONED + program) == "False"


def test_who_asks_for_the_client_gets_the_whole_package() -> None:
    program = (
        "import wsroute_sidecar.server, aiohttp\n"
        "from aiohttp import ClientSession, web\n"
        "import aiohttp.client\n"
        "print(ClientSession is aiohttp.client.ClientSession, aiohttp.__version__ > '3')"
    )
    assert said(POSTPONED + program) == "True True"


def test_a_name_that_is_not_there_is_missed_as_ever() -> None:
    program = "import aiohttp\ntry: aiohttp.no_such_name\nexcept AttributeError: print('missed')"
    assert said(POSTPONED + program) == "missed"


def test_what_is_imported_already_stays_as_it_is() -> None:
    program = "import aiohttp\nlean.postpone('aiohttp')\nprint('ClientSession' in vars(aiohttp))"
    assert said("from wsroute_sidecar import lean\n" + program) == "True"
