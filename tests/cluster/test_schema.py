"""What `kubectl apply` refuses: mistakes that the CRD's schema and rules can see."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .kube import kubectl
from .node.shell import CommandError
from .objects import route, rule

pytestmark = pytest.mark.usefixtures("installed")


def _with_spec(**spec: Any) -> dict[str, Any]:
    made = route("r", rule("/"), app="a")
    made["spec"] |= spec
    return made


def _with_rule(**fields: Any) -> dict[str, Any]:
    return route("r", rule("/") | fields, app="a")


_REWRITE = {"type": "URLRewrite", "requestRedirect": {}}


_CASES: list[tuple[dict[str, Any], str, str]] = [
    (_with_spec(selector={}), "spec.selector", "must select by at least one label"),
    (_with_spec(selektor={}), "spec.selektor", "unknown field"),
    (_with_spec(rules=[]), "spec.rules", "should have at least 1 items"),
    (_with_spec(rules=[{"name": "r"}]), "spec.rules[0].backend", "Required value"),
    (_with_spec(rules=[rule("/", name="r")] * 2), "spec.rules", "names of rules must be unique"),
    (_with_spec(hostnames=["https://example.com"]), "spec.hostnames[0]", "should match"),
    (_with_rule(backend={"port": 9300}), "backend.port", "none of the sidecar's own ports"),
    (_with_rule(backend={"port": 70000}), "backend.port", "must be 1 to 65535"),
    (_with_rule(backend={"port": "No_Name"}), "backend.port", "or the name of a container port"),
    (_with_rule(backend={"host": "db", "port": 80}), "backend.host", "unknown field"),
    (route("r", rule("ws"), app="a"), "matches[0].path", "must be an absolute path"),
    (_with_rule(filters=[_REWRITE]), "filters[0]", "urlRewrite goes with type URLRewrite"),
    (_with_rule(timeouts={"request": "5 minutes"}), "timeouts.request", "should match"),
    (_with_rule(drain={"closeCode": 1005}), "drain.closeCode", "not a server's to send"),
    (_with_rule(upgrade="Maybe"), "upgrade", 'supported values: "Disabled", "Optional"'),
]


@pytest.mark.parametrize(
    ("mistaken", "where", "what"), [pytest.param(*case, id=" ".join(case[1:])) for case in _CASES]
)
def test_a_mistake_is_refused_with_its_place_and_reason(
    mistaken: dict[str, Any], where: str, what: str
) -> None:
    with pytest.raises(CommandError) as refused:
        kubectl("apply", "--dry-run=server", "--filename=-", stdin=json.dumps(mistaken))
    told = str(refused.value)
    assert where in told
    assert what in told


def test_kubectl_explains_the_fields() -> None:
    explained = " ".join(kubectl("explain", "wsr.spec.rules.connection").split())
    assert "idleTimeout <string> End a tunnel that is idle for so long. Default 1h" in explained
