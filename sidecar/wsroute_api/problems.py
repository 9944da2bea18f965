"""What can be wrong with a route beyond what its types say.

Each check yields problems: where (a field path as kubectl writes it) and what, with the value and
what to do. The operator turns them into conditions, the sidecar into 422, standalone mode into log
lines; nothing here raises for a user's mistake.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import msgspec

from wsroute_api import contract, durations
from wsroute_api.types import (
    Filter,
    HeaderModifier,
    PathModifier,
    Route,
    RouteMatch,
    RouteSpec,
    Rule,
)


class Problem(msgspec.Struct, frozen=True):
    """One mistake: `where` is a field path, `what` a sentence for the person who made it."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class InvalidRouteError(ValueError):
    """The object is no WebSocketRoute that these types can hold; its text says why and where."""


CLOSE_CODES: Final = frozenset({1000, 1001, 1008, 1011, 1012, 1013})
"""Codes below 3000 that a proxy may send of its own accord (RFC 6455 section 7.4.1)."""

BROKEN_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
"""An encoding that stands for no character (RFC 3986 section 2.1), or for NUL."""

# A proxy's own headers: a filter that touches them would undo hop-by-hop handling.
_RESERVED_HEADERS: Final = re.compile(
    r"(?i)^(host|connection|upgrade|keep-alive|te|trailer|transfer-encoding|content-length"
    r"|proxy-connection|sec-websocket-.*)$"
)

CompileRegex = Callable[[str], object]
_Part = TypeVar("_Part")


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    namespace: str | None = None
    generation: int = 1
    creation_timestamp: str | None = None


def route_from_object(obj: dict[str, Any]) -> Route:
    """The route in a Kubernetes object (or manifest); raises InvalidRouteError."""
    meta = _part(obj, "metadata", _Metadata)
    return Route(
        namespace=meta.namespace or "default",
        name=meta.name,
        generation=meta.generation,
        created=meta.creation_timestamp or "",
        spec=_part(obj, "spec", RouteSpec),
    )


def _part(obj: dict[str, Any], name: str, kind: type[_Part]) -> _Part:
    try:
        return msgspec.convert(obj.get(name), kind)
    except msgspec.ValidationError as error:  # "... - at `$.rules[0].x`"
        what, _, where = str(error).partition(" - at `$")
        raise InvalidRouteError(
            f"{name}{where.rstrip('`')}: {what[:1].lower()}{what[1:]}"
        ) from error


def problems(spec: RouteSpec, compile_regex: CompileRegex) -> list[Problem]:
    """Everything that is wrong with `spec`; `compile_regex` raises ValueError for a bad one."""
    return list(_spec_problems(spec, compile_regex))


def _spec_problems(spec: RouteSpec, compile_regex: CompileRegex) -> Iterator[Problem]:
    if not spec.selector.match_labels and not spec.selector.match_expressions:
        yield Problem("spec.selector", "is empty and would take every pod: select by a label")
    for i, requirement in enumerate(spec.selector.match_expressions):
        if (requirement.operator in ("In", "NotIn")) != bool(requirement.values):
            yield Problem(
                f"spec.selector.matchExpressions[{i}].values",
                f"{requirement.operator} needs "
                + ("at least one value" if requirement.operator in ("In", "NotIn") else "none"),
            )
    names = Counter(rule.name for rule in spec.rules if rule.name)
    for i, rule in enumerate(spec.rules):
        where = f"spec.rules[{i}]"
        if rule.name and names[rule.name] > 1:
            yield Problem(f"{where}.name", f"{rule.name!r} is used twice: names must be unique")
        yield from _rule_problems(where, rule, compile_regex)


def _rule_problems(where: str, rule: Rule, compile_regex: CompileRegex) -> Iterator[Problem]:
    if rule.backend.port in contract.SIDECAR_PORTS:
        yield Problem(
            f"{where}.backend.port",
            f"{rule.backend.port} is the sidecar's own port: name the application's",
        )
    for i, match in enumerate(rule.matches):
        yield from _match_problems(f"{where}.matches[{i}]", match, compile_regex)
    for i, item in enumerate(rule.filters):
        yield from _filter_problems(f"{where}.filters[{i}]", item, rule)
    for kind, count in Counter(item.type for item in rule.filters).items():
        if count > 1:
            yield Problem(f"{where}.filters", f"{kind} stands there {count} times: use one")
    code = rule.drain.close_code
    if code < 3000 and code not in CLOSE_CODES:
        yield Problem(
            f"{where}.drain.closeCode",
            f"{code} is not for a proxy to send: use 1000, 1001, 1008, 1011 to 1013"
            " or 3000 to 4999",
        )
    if rule.keepalive and durations.effective(rule.keepalive.ping_interval, None) is None:
        yield Problem(f"{where}.keepalive.pingInterval", "0s: leave keepalive out to send no pings")


def _match_problems(
    where: str, match: RouteMatch, compile_regex: CompileRegex
) -> Iterator[Problem]:
    path = match.path
    if path.type == "RegularExpression":
        yield from _regex_problems(f"{where}.path.value", path.value, compile_regex)
    elif not path.value.startswith("/"):
        yield Problem(f"{where}.path.value", f"{path.value!r} must start with /")
    elif why := ambiguous(path.value) or _never_literal(path.value):
        yield Problem(f"{where}.path.value", f"{path.value!r} {why}, so it never matches")
    for i, header in enumerate(match.headers):
        if header.type == "RegularExpression":
            at = f"{where}.headers[{i}].value"
            yield from _regex_problems(at, header.value, compile_regex)
    for i, param in enumerate(match.query_params):
        if param.type == "RegularExpression":
            at = f"{where}.queryParams[{i}].value"
            yield from _regex_problems(at, param.value, compile_regex)


def ambiguous(path: str) -> str | None:
    """Why `path` can be read in more than one way, or None."""
    if "?" in path or "#" in path:
        return "has a query or a fragment"
    if "//" in path:
        return "has an empty element"
    if any(element in (".", "..") for element in path.split("/")):
        return "has a dot segment"
    if "\\" in path:
        return "has a backslash"
    if not all("!" <= character <= "~" for character in path):
        return "has a character that no path may have as it is, such as a space"
    return None


def _never_literal(path: str) -> str | None:
    """What `matching.liberal_reading` resolves, so that no request has it in both readings."""
    if "%" in path:
        return "has a percent-encoding"
    if ";" in path:
        return "has a parameter"
    return None


def _regex_problems(where: str, value: str, compile_regex: CompileRegex) -> Iterator[Problem]:
    try:
        compile_regex(value)
    except ValueError as error:
        yield Problem(where, f"{value!r} is not an RE2 expression: {error}")


def _filter_problems(where: str, item: Filter, rule: Rule) -> Iterator[Problem]:
    parts = {
        "RequestHeaderModifier": ("requestHeaderModifier", item.request_header_modifier),
        "ResponseHeaderModifier": ("responseHeaderModifier", item.response_header_modifier),
        "URLRewrite": ("urlRewrite", item.url_rewrite),
        "RequestRedirect": ("requestRedirect", item.request_redirect),
    }
    for kind, (name, value) in parts.items():
        if (kind == item.type) != (value is not None):
            verb = "is missing" if value is None else f"does not belong to type {item.type}"
            yield Problem(f"{where}.{name}", verb)
    for name, value in parts.values():
        if isinstance(value, HeaderModifier):
            yield from _modifier_problems(f"{where}.{name}", value)
    for change, name in (
        (item.url_rewrite, "urlRewrite"),
        (item.request_redirect, "requestRedirect"),
    ):
        if change is not None and change.path is not None:
            yield from _path_modifier_problems(f"{where}.{name}.path", change.path, rule)


def _modifier_problems(where: str, modifier: HeaderModifier) -> Iterator[Problem]:
    names = [
        *((f"{where}.set[{i}].name", header.name) for i, header in enumerate(modifier.set)),
        *((f"{where}.add[{i}].name", header.name) for i, header in enumerate(modifier.add)),
        *((f"{where}.remove[{i}]", name) for i, name in enumerate(modifier.remove)),
    ]
    for at, name in names:
        if _RESERVED_HEADERS.match(name):
            yield Problem(at, f"{name} is the proxy's own to set: use urlRewrite for the host")
    for kind in ("set", "add"):
        for i, header in enumerate(getattr(modifier, kind)):
            if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", header.value):
                yield Problem(f"{where}.{kind}[{i}].value", "has a control character")


def _path_modifier_problems(where: str, change: PathModifier, rule: Rule) -> Iterator[Problem]:
    wanted = change.type[0].lower() + change.type[1:]
    values = {
        "replaceFullPath": change.replace_full_path,
        "replacePrefixMatch": change.replace_prefix_match,
    }
    for name, value in values.items():
        if (name == wanted) != (value is not None):
            verb = "is missing" if value is None else f"does not belong to type {change.type}"
            yield Problem(f"{where}.{name}", verb)
        elif value is not None and (why := ambiguous(value)):
            yield Problem(f"{where}.{name}", f"{value!r} {why}")
        elif value is not None and BROKEN_PERCENT.search(value):
            yield Problem(f"{where}.{name}", f"{value!r} has a broken percent-encoding")
    if change.type == "ReplacePrefixMatch" and any(
        match.path.type != "PathPrefix" for match in rule.matches
    ):
        yield Problem(where, "ReplacePrefixMatch needs every match of its rule to be a PathPrefix")
