"""What a sidecar of WebSockets alone does not hold in memory."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

from wsroute_sidecar.lean import PASSED_ON, POSTPONED

BEGIN = "import sys; from wsroute_sidecar import lean; lean.postpone()\n"
NAMES = [(module, name) for module, names in POSTPONED.items() for name in names]

# Of a policy attributes are asked; the others are for answers of aiohttp's own making.
NOT_CALLED = {"HTTP", "SERVER_SOFTWARE", "__version__"}

# Brought by what is postponed, and by nothing else that a sidecar imports.
HEAVY = [
    "_bz2",
    "_lzma",
    "_ssl",
    "aiohttp._websocket",
    "aiohttp.client",
    "aiohttp.web",
    "argparse",
    "calendar",
    "email._header_value_parser",
    "email.feedparser",
    "html.entities",
    "http.client",
    "idna.core",
]


def said(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_server_needs_nothing_of_what_is_heavy() -> None:
    pytest.importorskip("wsroute_sidecar._relay")
    program = (
        "import sys\n"
        "from wsroute_sidecar import cli, config, flags, lean, loops\n"
        "lean.postpone()\n"
        "loops.factory(config.settings(flags.read([])))\n"
        "import wsroute_sidecar.server, wsroute_sidecar.native, wsroute_sidecar.accepting\n"
        f"print([module for module in {HEAVY} if module in sys.modules])"
    )
    assert said(program) == "[]"


def test_all_that_is_postponed_is_imported_and_still_empty() -> None:
    program = (
        "import wsroute_sidecar.server\n"
        "for name in lean.POSTPONED:\n"
        "    if not sys.modules[name].__getattr__.func.__self__._pending: print(name)"
    )
    assert said(BEGIN + program) == ""


def test_who_asks_for_the_client_gets_the_whole_package() -> None:
    program = (
        "import wsroute_sidecar.server, aiohttp\n"
        "from aiohttp import ClientSession, web\n"
        "import aiohttp.client\n"
        "print(ClientSession is aiohttp.client.ClientSession, aiohttp.__version__ > '3')"
    )
    assert said(BEGIN + program) == "True True"


@pytest.mark.parametrize("module", POSTPONED)
def test_a_module_has_all_its_names_as_soon_as_one_is_asked_for(module: str) -> None:
    real = vars(importlib.import_module(module))
    names = {name for name, value in real.items() if not isinstance(value, ModuleType)}
    free = sorted(names - set(POSTPONED[module]))
    asked = next(name for name in free if name[0] != "_" and callable(real[name]))
    program = (
        f"import importlib; module = importlib.import_module({module!r})\n"
        f"module.{asked}\n"
        f"print(sorted(name for name in {names} - set(vars(module)) if name[:2] != '__'))"
    )
    assert said(BEGIN + program) == said(program) == "[]"


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_name_with_a_stand_in_is_there_and_can_be_stood_for(module: str, name: str) -> None:
    real = getattr(importlib.import_module(module), name)
    assert callable(real) or name in NOT_CALLED


def test_a_stand_in_does_as_the_real_thing() -> None:
    program = (
        "from html import escape; from email.utils import parsedate; import html\n"
        "from tempfile import SpooledTemporaryFile; from email.policy import HTTP\n"
        "from aiohttp.helpers import parse_http_date, parse_content_type\n"
        "print(escape('<'), escape is html.escape, HTTP.linesep == '\\r\\n')\n"
        "print(parse_http_date('Sun, 06 Nov 1994 08:49:37 GMT'))\n"
        "print(parse_content_type('text/a; b=c'))\n"
        "with SpooledTemporaryFile(8) as file: print(isinstance(file, SpooledTemporaryFile))"
    )
    answers = [
        "&lt; {same} True",
        "1994-11-06 08:49:37+00:00",
        "('text/a', mappingproxy({{'b': 'c'}}))",
        "True",
    ]
    assert said(BEGIN + program) == "\n".join(answers).format(same=False)
    assert said(program) == "\n".join(answers).format(same=True)


@pytest.mark.parametrize("module", PASSED_ON)
def test_what_a_module_passes_on_is_the_real_thing(module: str) -> None:
    program = (
        f"import importlib; module = importlib.import_module({module!r})\n"
        f"early = dict(vars(module))\n"
        f"hasattr(module, 'no_such_name')  # it is loaded for that\n"
        f"for source, names in lean.PASSED_ON[{module!r}].items():\n"
        f"    given = importlib.import_module(source)\n"
        f"    for name in names:\n"
        f"        assert early[name] is vars(module)[name] is vars(given)[name], name"
    )
    said(BEGIN + program)


def test_a_postponed_module_keeps_its_own_submodules() -> None:
    program = (
        "import html.entities, html\n"
        "print(len(html.entities.html5) > 2000, html.unescape('&amp;'), html.__spec__.loader)"
    )
    loaded, plain, loader = said(BEGIN + program).split(" ", 2)
    assert (loaded, plain) == ("True", "&")
    assert "SourceFileLoader" in loader


@pytest.mark.parametrize("module", ["aiohttp", "html", "locale"])
def test_a_name_that_is_not_there_is_missed_as_ever(module: str) -> None:
    program = (
        f"import {module}\n"
        f"for _ in range(2):\n"
        f"    try: {module}.no_such_name\n"
        f"    except AttributeError: print('missed')\n"
        f"try: from {module} import no_such_name\n"
        f"except ImportError: print('missed')"
    )
    assert said(BEGIN + program).split() == ["missed"] * 3


def test_threads_that_ask_at_once_get_the_same() -> None:
    program = (
        "import threading, locale\n"
        "start, got = threading.Barrier(8), []\n"
        "def ask():\n"
        "    start.wait()\n"
        "    got.append(locale.getlocale)\n"
        "threads = [threading.Thread(target=ask) for _ in range(8)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "print(len(got), len(set(got)))"
    )
    assert said(BEGIN + program) == "8 1"


def test_what_is_imported_already_stays_as_it_is() -> None:
    program = "import aiohttp\nlean.postpone()\nprint('ClientSession' in vars(aiohttp))"
    assert said("from wsroute_sidecar import lean\n" + program) == "True"
