"""Figures, trends and tables of what is measured."""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from bench.figures import Figures, percentile, write_json
from bench.plot import svg
from bench.samples import limit_of
from bench.site import by_kind, kind_of
from bench.trends import Limit, sparkline, trend
from bench.yardstick import others, table

TIMES = [10.0 * number for number in range(60)]
TIGHT = Limit(amount=2.0)


def noisy(values: list[float], noise: float) -> list[float]:
    dice = random.Random(7)
    return [value + dice.uniform(-noise, noise) for value in values]


def test_a_percentile_is_one_of_the_values_and_of_nothing_there_is_none() -> None:
    assert percentile([5.0, 1.0, 3.0], 0.5) == 3.0
    assert percentile([5.0, 1.0, 3.0], 0.99) == 5.0
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_the_file_holds_the_median_of_the_runs_of_each_figure(tmp_path: Path) -> None:
    figures = Figures()
    for rate in (90.0, 110.0, 100.0):
        figures.add("boot.rate", "1/s", rate, p50=rate * 2)
    figures.add_spread("nothing", "ms", [])
    write_json(tmp_path / "out.json", {"cores": 2}, {}, figures)
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["figures"] == {
        "boot.rate": {"unit": "1/s", "median": 100.0, "runs": [90.0, 110.0, 100.0], "p50": 200.0}
    }
    assert "boot.rate" in figures.table()


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_what_rises_all_the_time_grows(noise: float) -> None:
    assert trend(TIMES, noisy([0.2 * number for number in range(60)], noise), TIGHT).grows


@pytest.mark.parametrize(
    "values",
    [
        [50.0] * 60,
        [float(min(number, 10)) for number in range(60)],  # filled in its warm-up
        [50.0 + 8.0 * (number % 6) for number in range(60)],  # a saw that is swept again and again
        [50.0] * 30 + [900.0] + [50.0] * 29,  # one outlier
        [100.0 - number for number in range(60)],
    ],
)
def test_what_is_full_swings_or_falls_does_not_grow(values: list[float]) -> None:
    assert not trend(TIMES, noisy(values, 0.5), TIGHT).grows


def test_what_may_rise_by_a_share_is_held_to_it() -> None:
    values = [100.0 + number for number in range(60)]
    assert not trend(TIMES, values, Limit(amount=1.0, share=0.5)).grows
    assert trend(TIMES, values, Limit(amount=1.0, share=0.2)).grows


def test_too_few_samples_are_no_verdict() -> None:
    with pytest.raises(ValueError, match="samples"):
        trend(TIMES[:3], [1.0, 2.0, 3.0], TIGHT)


def test_tables_that_keep_a_history_are_not_judged_and_the_outbox_is() -> None:
    assert not limit_of("kib/bus.event").must_be_flat
    assert not limit_of("dead rows/bus.outbox").must_be_flat
    for name in (
        "kib/bus.outbox",
        "memory/conductor MiB",
        "files/gateway-1",
        "queue/skybus.answers",
        "lag/scheduler ms",
    ):
        assert limit_of(name).must_be_flat, name


def test_a_line_of_bars_is_as_wide_as_asked_and_keeps_the_highest_point() -> None:
    line = sparkline([0.0] * 100 + [9.0] + [0.0] * 100, width=20)
    assert (len(line), line.count("█")) == (20, 1)
    assert sparkline([3.0, 3.0]) == "▁▁"


def test_the_picture_is_xml_with_a_line_for_each_series() -> None:
    drawn = svg("5 < 6 minutes", [0.0, 1.0], {"a & b": [1.0, 2.0], "flat": [0.0, 0.0]}, {"flat": True})
    assert len([element for element in xml.fromstring(drawn).iter() if element.tag.endswith("polyline")]) == 2


def test_processes_are_summed_by_kind() -> None:
    assert [kind_of(name) for name in ("gateway-2", "compute.sim", "conductor")] == ["gateway", "compute", "conductor"]
    assert by_kind({"gateway-1": 1.0, "gateway-2": 2.0}) == {"gateway": 3.0}


README = """
| Measure | Better | p50 / p95 / p99 ms | Run 1, run 2 |
|---|---|---|---|
| token validate, c=16 | 232/s | 65 / 94 / 139 | 232, 153 |
| boot 100 | 1.28/s (78 s) | 23 872 / 25 369 | 1.28, 0.94 |

CPU of the services per boot: 1.52 s (20 or 100 servers).
"""


def test_our_figures_stand_beside_the_other_clouds() -> None:
    storm = {
        "n": 100,
        "boots_per_s": 99.5,
        "create_to_active": {"p50_ms": 150.2, "p95_ms": 300.0},
        "services_cpu_s_per_boot": 0.012,
    }
    ports = {"items": 200, "p50_ms": 22.0, "p95_ms": 30.0}
    best = {"token_validate": {"req_per_s": 4000.0, "p50_ms": 3.5}, "boot_100": storm, "ports": ports}
    assert table(best, others(README)).splitlines()[2:] == [
        "| Token validation, 16 at a time | 232/s | 4000/s (p50 3.5 ms) |",
        "| Boot 100 servers | 1.28/s (78 s) | 99.5/s (p50 150 ms, p95 300 ms) |",
        "| CPU of all services for one boot | 1520 ms | 12 ms |",
        "| 1,000 ports | ? | p50 22 ms, p95 30 ms (only 200) |",
    ]
