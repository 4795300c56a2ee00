"""What the benchmarks make of what they measured."""

import pytest

from benchmarks.gate import refuse_other_work, slower
from benchmarks.peers.measuring import between
from benchmarks.peers.page import page
from benchmarks.peers.table import PEERS


def test_rows_a_second_and_cpu_a_row_are_of_the_rows_between_two_looks() -> None:
    first, last = (10.0, 3.0, 1_000), (12.0, 3.5, 101_000)  # time, CPU, row
    assert between(first, last) == pytest.approx((50_000, 5.0))


def test_page_has_a_row_for_each_peer() -> None:
    chosen = PEERS[:2]
    run = {
        "rows_a_second": 300_000.0,
        "second_half_rows_a_second": 310_000.0,
        "cpu_us_a_row": 3.0,
        "rss_mb": 120.0,
        "largest_difference": 0.0,
    }
    slower = run | {"cpu_us_a_row": 7.5}
    medians = {chosen[0].name: run, chosen[1].name: slower}
    found = {
        "medians": medians,
        "runs": {name: [each] for name, each in medians.items()},
        "latency": {chosen[0].name: {"p50_ms": 1.24, "p99_ms": 5.0}},
        "topic": {"rows": 400_000, "bytes_a_row": 776.2, "alerts": 1_200},
        "made": "2026-11-27T20:00+00:00",
        "command": "make bench-peers",
        "machine": {"processor": "2 x a", "memory": "4 GB", "python": "3.11"},
        "needs": {peer.name: ["a==1"] for peer in chosen},
    }
    lines = page(found, chosen).splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith(f"| {chosen[0].name}")]
    assert [row[1:8] for row in rows] == [
        ["300,000", "310,000", "3.0", "1.0", "120", "1.2", "5.0"],
        ["300,000", "310,000", "7.5", "2.5", "120", "", ""],
    ]


def test_gate_fails_at_more_than_a_tenth_of_the_median_pair() -> None:
    noise = [0.7, 0.98, 1.0, 1.3, 1.02]
    assert slower({"one": noise, "two": [1.1] * 5}) == []
    assert slower({"one": [1.12 * each for each in noise], "two": noise}) == ["one"]


def test_gate_takes_no_tree_for_faster_that_does_less() -> None:
    usual = {"alerts": 900.0, "dead_letters": 300.0}
    refuse_other_work(usual, dict(usual))
    with pytest.raises(SystemExit, match="0 alerts here, 900 there"):
        refuse_other_work(usual | {"alerts": 0.0}, usual)
