"""The command `wsroute-operator`."""

from __future__ import annotations

import sys

import uvloop

from wsroute_api import log
from wsroute_operator import app
from wsroute_operator import settings as settings_
from wsroute_operator.sweep import DeafError


def main() -> None:
    """Run the operator; the exit status is 1 when it ended by itself."""
    settings = settings_.parse(sys.argv[1:])
    log.setup(settings.log_level, settings.log_format)
    try:
        uvloop.run(app.run(settings))
    except* DeafError as deaf:
        for error in deaf.exceptions:
            log.error("deaf", error)
        sys.exit(1)
