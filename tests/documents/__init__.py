"""The documents that are generated, each from what the code or the chart says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.documents import fields, metrics, values

GENERATED: Final[Mapping[Path, Callable[[], str]]] = {
    values.README: values.readme,
    fields.FIELDS: fields.reference,
    metrics.METRICS: metrics.reference,
}
