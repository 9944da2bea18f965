"""The command `wsroute-sidecar`: serve, or manage a running sidecar over its control socket."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from wsroute_sidecar import config, flags, lean, loops


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, or 1 with one line that says what was wrong."""
    given = flags.read(sys.argv[1:] if argv is None else argv)
    try:
        settings = config.settings(given)
        if given["command"] is not None:
            from wsroute_sidecar import manage  # noqa: PLC0415 - whoever serves has no use for it

            return manage.run(settings.control, given)
        return _serve(settings)
    except (ValueError, OSError) as error:
        print(f"wsroute-sidecar: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _serve(settings: config.Settings) -> int:
    """Management commands have no use for what is imported here; the order saves memory."""
    lean.postpone()
    loop_factory = loops.factory(settings)
    import asyncio  # noqa: PLC0415

    from wsroute_api import log  # noqa: PLC0415
    from wsroute_sidecar.server import run  # noqa: PLC0415

    log.setup(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run(settings))
    return 0
