"""Values of the chart that cannot be meant, and what is said of those that can."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.documents.values import CHART, VALUES, rows
from tests.operator.helm import Json, helm

pytestmark = pytest.mark.cluster  # for Helm, which is built with the node's programs


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicas": 2}, "additional properties 'replicas' not allowed"),
        ({"operator": {"replica": 2}}, "additional properties 'replica' not allowed"),
        ({"image": {"operator": {"name": "x"}}}, "additional properties 'name' not allowed"),
        ({"sidecar": {"resources": {"request": {}}}}, "'request' not allowed"),
        ({"operator": {"replicas": 0}}, "minimum: got 0, want 1"),
        ({"operator": {"replicas": "2"}}, "got string, want integer"),
        ({"operator": {"logLevel": "loud"}}, "value must be one of"),
        ({"image": {"pullPolicy": "Sometimes"}}, "value must be one of"),
        ({"image": {"sidecar": {"digest": "sha256:abc"}}}, "does not match pattern"),
        ({"image": {"sidecar": {"repository": ""}}}, "minLength: got 0, want 1"),
        ({"webhook": {"port": 443}}, "minimum: got 443, want 1,024"),
        ({"webhook": {"port": 8080}}, "'not' failed"),
        ({"webhook": {"certManager": {"enabled": True}, "existingSecret": "s"}}, "maxLength"),
        ({"webhook": {"certManager": {"issuerRef": {"kind": "Issuer"}}}}, "'name' required"),
        ({"podMonitor": {"interval": "often"}}, "does not match pattern"),
        ({"extraObjects": [1]}, "got number, want string or object"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(values: Json, complaint: str) -> None:
    done = helm("template", "wsroute", str(CHART), values=values)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_every_value_has_a_comment() -> None:
    commented = {row.path for row in rows(VALUES.read_text("utf-8"))}

    def check(value: Any, path: tuple[str, ...]) -> None:
        if path in commented:
            return
        assert isinstance(value, dict), f"{'.'.join(path)} has no comment"
        for name, part in value.items():
            check(part, (*path, name))

    check(yaml.safe_load(VALUES.read_text("utf-8")), ())
