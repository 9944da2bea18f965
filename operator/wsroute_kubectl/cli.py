"""The command `kubectl wsroute`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from wsroute_api.version import Version
from wsroute_kubectl import completion, connections, status, terminal, trace
from wsroute_kubectl.kubectl import Kubectl, KubectlError

_INTERRUPTED: Final = 130
"""As shells report an end by SIGINT: what was waited for has not come."""

Command = Callable[[Kubectl, Mapping[str, Any]], int]

_COMMANDS: Final[Mapping[str, Command]] = {
    "connections": connections.connections,
    "close": connections.close,
    "drain": connections.drain,
    "status": status.status,
    "trace": trace.trace,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0, or 1 with a line for each thing that was wrong."""
    words = sys.argv[1:] if argv is None else argv
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as other programs: `... | head` is no mistake
    top = parser()
    if words[:1] == ["__complete"]:
        return completion.complete(top, words[1:])
    flags = vars(top.parse_args(words))
    if flags["command"] == "completion":
        return completion.script(flags["shell"])
    kubectl = Kubectl(*(flags[name] for name in ("context", "kubeconfig", "namespace")))
    try:
        terminal.progress("asking the API server ...")
        return _COMMANDS[flags["command"]](kubectl, flags)
    except (KubectlError, ValueError, OSError) as error:
        return terminal.complain([str(error)])
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        terminal.erase()


def complete() -> int:
    """The command that kubectl (1.26 and later) runs to complete `kubectl wsroute`."""
    status = completion.complete(parser(), sys.argv[1:])
    print(completion.NO_FILES)
    return status


def parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    top = argparse.ArgumentParser(
        prog="kubectl wsroute",
        description="WebSocket routes, and the tunnels that they carry.",
        parents=[_place(None)],
    )
    top.add_argument("--version", action=Version)
    # Suppressed, or what stands before the command would be forgotten after it.
    place = _place(argparse.SUPPRESS)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    listed = commands.add_parser("connections", parents=[place], help="list live tunnels")
    listed.add_argument("target", nargs="?", metavar="ROUTE|pod/NAME", help="only those of it")
    listed.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    listed.add_argument("-o", "--output", choices=("table", "wide", "json"), default="table")
    listed.add_argument("-w", "--watch", action="store_true", help="again every two seconds")

    close = commands.add_parser("close", parents=[place], help="end a tunnel, or all of a route")
    close.add_argument("id", nargs="?", metavar="ID", help="as `connections` lists it")
    close.add_argument("--pod", metavar="POD", help="the pod that carries it")
    close.add_argument("--route", metavar="ROUTE", help="all tunnels of this route")
    close.add_argument("--code", type=int, default=1001, help="close code (default 1001)")
    close.add_argument("--reason", default="closed by an administrator", help="close reason")

    drain = commands.add_parser(
        "drain", parents=[place], help="let a pod take no new tunnels, and end the live ones"
    )
    drain.add_argument("pod", metavar="POD")
    drain.add_argument("--wait", action="store_true", help="return when no tunnel is left")

    told = commands.add_parser(
        "status", parents=[place], help="how far a route is, in each of its pods"
    )
    told.add_argument("target", metavar="ROUTE")

    traced = commands.add_parser(
        "trace", parents=[place], help="which rule a request belongs to, and why not to the others"
    )
    trace.add_flags(traced)

    scripts = commands.add_parser("completion", help="print a script that completes commands")
    scripts.add_argument("shell", choices=completion.SHELLS)
    return top


def _place(default: str | None) -> argparse.ArgumentParser:
    """The flags that kubectl's own commands have, passed through to it."""
    place = argparse.ArgumentParser(add_help=False, argument_default=default)
    place.add_argument("-n", "--namespace", help="namespace; default: the context's")
    place.add_argument("--context", help="context of the kubeconfig")
    place.add_argument("--kubeconfig", metavar="FILE", help="kubeconfig to use")
    return place
