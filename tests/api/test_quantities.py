from __future__ import annotations

import pytest

from wsroute_api import quantities


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("65536", 65536),
        ("1k", 1000),
        ("1Ki", 1024),
        ("16Mi", 16 * 1024 * 1024),
        ("2M", 2_000_000),
        ("1Gi", 1024**3),
        ("3G", 3_000_000_000),
        ("999999999Gi", 999999999 * 1024**3),
    ],
)
def test_a_size_is_its_number_of_bytes(text: str, size: int) -> None:
    assert quantities.parse_bytes(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0Mi",
        "-1",
        "1.5Mi",
        "1K",
        "1ki",
        "1Ti",
        "1KiB",
        "Mi",
        "01",
        "1 Mi",
        "1Mi\n",
        "1234567890",
    ],
    ids=repr,
)
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size") as refused:
        quantities.parse_bytes(text)
    assert repr(text) in str(refused.value)
