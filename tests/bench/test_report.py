from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.bench.chart import CHOSEN, chart
from tests.bench.figures import DIRECT, FIGURES, Samples, merge, rows
from tests.bench.table import number, table


def _samples() -> Samples:
    samples: Samples = {}
    for handshake, rate in ((100.0, 9.0), (120.0, 8.0), (500.0, 1.0)):
        merge(samples, "nginx", {"cpu handshake": handshake, "handshake rate": rate})
    merge(samples, "envoy", {"cpu handshake": 300.0, "handshake rate": 16.0})
    merge(samples, "wsroute", {"cpu handshake": 60.0, "handshake rate": 24.0})
    merge(samples, DIRECT, {"handshake rate": 100.0})
    return samples


def test_ratios_are_of_medians_and_the_best_peer_is_not_our_own() -> None:
    found = {(row.figure.key, row.proxy): row for row in rows(_samples(), ["wsroute"])}
    nginx = found["cpu handshake", "nginx"]
    assert (nginx.low, nginx.median, nginx.high) == (100.0, 120.0, 500.0)
    assert found["cpu handshake", "wsroute"].to_nginx == 0.5
    assert found["cpu handshake", "wsroute"].to_best == 0.5
    assert found["handshake rate", "wsroute"].to_nginx == 3.0
    assert found["handshake rate", "wsroute"].to_best == 1.5


def test_a_run_without_peers_has_no_ratios() -> None:
    samples: Samples = {"wsroute": {"cpu handshake": [60.0]}}
    (row,) = rows(samples, ["wsroute"])
    assert (row.to_nginx, row.to_best) == (None, None)


def test_the_table_names_a_figure_once() -> None:
    lines = table(rows(_samples(), ["wsroute"])).splitlines()
    assert "".join(lines[1].split()) == "CPUperhandshake(µs)nginx1001205001.001.00"
    assert lines[2].split() == ["envoy", "300", "300", "300", "2.50", "2.50"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (9.876, "9.88"), (98.76, "98.8"), (987.6, "988"), (98765.4, "98,765")],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_the_chart_is_xml_with_a_bar_for_each_row() -> None:
    found = rows(_samples(), ["wsroute"])
    root = ET.fromstring(chart(found, ["wsroute"], "a <machine>"))  # noqa: S314 - our own
    bars = root.findall(".//{*}rect")
    assert [bar.get("class") for bar in bars] == ["bar", "bar", "own"]
    assert root.findall("{*}text")[-1].text == "a <machine>"


def test_the_chart_shows_figures_that_exist_and_where_less_is_better() -> None:
    figures = {figure.key: figure for figure in FIGURES}
    assert not any(figures[key].more_is_better for key in CHOSEN)
