"""The command `wsroute-sidecar`: serve, or manage a running sidecar over its control socket."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from wsroute_api import log
from wsroute_api.version import Version
from wsroute_sidecar import config, lean, manage


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, or 1 with one line that says what was wrong."""
    parser = argparse.ArgumentParser(
        prog="wsroute-sidecar",
        description="Upgrade-aware forwarding of WebSocket and HTTP to the containers of this pod.",
    )
    parser.add_argument("--version", action=Version)
    config.add_flags(parser)
    manage.add_commands(parser)
    flags = vars(parser.parse_args(argv))
    try:
        settings = config.settings(flags)
        if flags["command"] is not None:
            return manage.run(settings.control, flags)
        log.setup(settings.log_level, settings.log_format)
        return _serve(settings)
    except (ValueError, OSError) as error:
        print(f"wsroute-sidecar: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _serve(settings: config.Settings) -> int:
    import uvloop  # noqa: PLC0415 - management commands have no use for it

    lean.postpone("aiohttp")
    from wsroute_sidecar.server import run  # noqa: PLC0415

    uvloop.run(run(settings))
    return 0
