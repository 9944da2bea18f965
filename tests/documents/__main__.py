"""`python -m tests.documents` writes what is generated; a test fails when it is stale."""

from __future__ import annotations

from tests.documents import GENERATED

for path, made in GENERATED.items():
    path.write_text(made(), encoding="utf-8")
