"""Kubernetes quantities of bytes, as far as sizes need them."""

from __future__ import annotations

import re
from typing import Final

PATTERN: Final = r"^[1-9][0-9]{0,8}(Ki|Mi|Gi|k|M|G)?\Z"

_FACTOR: Final = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
}
_QUANTITY: Final = re.compile(PATTERN)


def parse_bytes(text: str) -> int:
    """The number of bytes that `text` ("16Mi") stands for; ValueError when it is no such size."""
    if not _QUANTITY.match(text):
        raise ValueError(f"{text!r} is not a size such as 65536, 64Ki or 16Mi")
    number = text.rstrip("KMGki")
    return int(number) * _FACTOR[text[len(number) :]]
