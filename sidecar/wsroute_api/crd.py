"""Writes the chart's CRD template: `python -m wsroute_api.crd FILE`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from wsroute_api.schema import custom_resource_definition

_HEAD = """\
{{- /* Generated from wsroute_api by `make crd`; a test fails when it is stale. */ -}}
{{- if .Values.crds.enabled }}
"""
_KEEP = """\
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
"""


class _Dumper(yaml.SafeDumper):
    """YAML without aliases, which Helm's readers would have to follow."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def template() -> str:
    """The CRD as a Helm template that obeys crds.enabled and crds.keep."""
    text = yaml.dump(custom_resource_definition(), Dumper=_Dumper, sort_keys=False, width=100)
    head, metadata, rest = text.partition("metadata:\n")
    return f"{_HEAD}{head}{metadata}{_KEEP}{rest}{{{{- end }}}}\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(template(), encoding="utf-8")
