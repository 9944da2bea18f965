"""Completion of commands, flags and names, for kubectl and for shells.

kubectl (1.26 and later) asks the command `kubectl_complete-wsroute`, whatever the shell is. The
scripts complete the command under its own name, kubectl-wsroute, by its hidden `__complete`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from wsroute_api import contract, log
from wsroute_kubectl.kubectl import Kubectl, KubectlError

NO_FILES: Final = ":4"
"""Cobra's word, which kubectl understands, for: complete no file names."""

_SCRIPTS: Final[Mapping[str, str]] = {
    "bash": """\
_kubectl_wsroute() {
    local words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    mapfile -t COMPREPLY < <(kubectl-wsroute __complete "${words[@]}")
}
complete -F _kubectl_wsroute kubectl-wsroute
""",
    "zsh": """\
#compdef kubectl-wsroute
_kubectl_wsroute() {
    local -a found
    found=("${(@f)$(kubectl-wsroute __complete "${(@)words[2,CURRENT]}")}")
    compadd -- ${found:#}
}
compdef _kubectl_wsroute kubectl-wsroute
""",
    "fish": """\
function __kubectl_wsroute
    set -l words (commandline -opc) (commandline -ct)
    kubectl-wsroute __complete $words[2..]
end
complete -c kubectl-wsroute -f -a '(__kubectl_wsroute)'
""",
}
SHELLS: Final = tuple(_SCRIPTS)

_POSITIONALS: Final[Mapping[str, tuple[str, ...]]] = {
    "connections": ("route", "pod/"),
    "drain": ("pod",),
    "status": ("route",),
    "trace": ("route", "pod/"),
}
_VALUES: Final[Mapping[str, str]] = {
    "--pod": "pod",
    "--route": "route",
    "-n": "namespace",
    "--namespace": "namespace",
}


def script(shell: str) -> int:
    """Print the script for `shell`."""
    print(_SCRIPTS[shell], end="")
    return 0


def complete(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """Print what may stand for the last of `words`, a line each; errors complete nothing."""
    with suppress(KubectlError):
        for candidate in _candidates(parser, words):
            if candidate.startswith(words[-1] if words else ""):
                print(log.escaped(candidate))
    return 0


def _candidates(parser: argparse.ArgumentParser, words: Sequence[str]) -> Iterator[str]:
    commands = _commands(parser)
    *before, last = words or [""]
    command = next((word for word in before if word in commands), "")
    flags = commands.get(command, parser)._option_string_actions  # argparse has no public list
    flag = flags.get(before[-1]) if before else None
    if flag is not None and before[-1] in _VALUES:
        yield from _names(_kubectl(before[:-1]), _VALUES[before[-1]])
    elif flag is not None and flag.nargs != 0:
        yield from map(str, flag.choices or ())
    elif last.startswith("-"):
        yield from flags
    elif not command:
        yield from commands
    elif command == "completion":
        yield from SHELLS
    else:
        for kind in _POSITIONALS.get(command, ()):
            yield from _names(_kubectl(before), kind)


def _commands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The parser of each command, which argparse tells nobody in public."""
    (action,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def _kubectl(typed: Sequence[str]) -> Kubectl:
    """With the flags that were typed so far."""
    place = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    for flags in (("-n", "--namespace"), ("--context",), ("--kubeconfig",)):
        place.add_argument(*flags)
    with suppress(argparse.ArgumentError):
        known, _ = place.parse_known_args(typed)
        return Kubectl(known.context, known.kubeconfig, known.namespace)
    return Kubectl()


def _names(kubectl: Kubectl, kind: str) -> Iterator[str]:
    """Names in the cluster, as the command line takes them."""
    wanted = {
        "route": (f"{contract.PLURAL}.{contract.GROUP}",),
        "namespace": ("namespaces",),
    }.get(kind, ("pods", f"--selector={contract.INJECT_LABEL}=true"))
    prefix = "pod/" if kind == "pod/" else ""
    yield from (prefix + item["metadata"]["name"] for item in kubectl.get(*wanted)["items"])
