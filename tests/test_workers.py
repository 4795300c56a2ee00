"""Several scorers under a supervisor: what ends starts again, unless that does not help."""

import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from stream_scorer.config import Settings
from stream_scorer.health import DEAD_AFTER_S
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model
from stream_scorer.workers.summing import Together, plus
from stream_scorer.workers.supervising import (
    FIRST_WAIT_S,
    KILL_AFTER_S,
    MOST_ENDS,
    WITHIN_S,
    Supervisor,
    Worker,
    of_worker,
)
from tests.fakes import Clock


@dataclass
class Fake:
    """A process that ends when told."""

    code: int | None = None
    got: list[int] = field(default_factory=list)
    deaf: bool = False

    def poll(self) -> int | None:
        return self.code

    def send_signal(self, number: int, /) -> None:
        self.got.append(number)
        if number == signal.SIGTERM and self.code is None and not self.deaf:
            self.code = 0


class Floor:
    """A supervisor over fakes, on a clock that moves when told."""

    def __init__(self, count: int = 3, *, listens: bool = True) -> None:
        self.clock = Clock()
        self.listens = listens
        self.started: list[int] = []
        self.supervisor = Supervisor(count, self._start, self.clock)
        self.supervisor.begin()

    def _start(self, number: int) -> Worker:
        self.started.append(number)
        return Worker(number, Fake(), 9000 + number if self.listens else None)

    def process(self, number: int) -> Fake:
        found = self.supervisor.workers[number].process
        assert isinstance(found, Fake)
        return found

    def end(self, number: int, code: int) -> bool:
        self.process(number).code = code
        return self.supervisor.look()


@pytest.mark.parametrize("code", [1, 0, -signal.SIGKILL])
def test_worker_that_ends_starts_again_after_a_while(code: int) -> None:
    floor = Floor()
    assert floor.end(1, code)
    assert floor.started == [0, 1, 2]
    floor.clock.now += FIRST_WAIT_S
    assert floor.supervisor.look()
    assert floor.started == [0, 1, 2, 1]
    assert floor.supervisor.code == 0


def test_while_grows_with_each_end() -> None:
    floor, waits = Floor(1), []
    for _ in range(MOST_ENDS):
        floor.end(0, 1)
        begun = floor.clock.now
        while not floor.supervisor.workers:
            floor.clock.now += 0.5
            floor.supervisor.look()
        waits.append(floor.clock.now - begun)
    assert waits == [FIRST_WAIT_S * 2**n for n in range(MOST_ENDS)]


def test_ends_that_do_not_stop_stop_all() -> None:
    floor = Floor(2)
    for _ in range(MOST_ENDS + 1):
        assert floor.supervisor.code == 0
        floor.end(0, 1)
        floor.clock.now += FIRST_WAIT_S * 2**MOST_ENDS
        floor.supervisor.look()
    assert floor.supervisor.stopping
    assert not floor.supervisor.look()
    assert floor.supervisor.code == 1


def test_one_trouble_that_ends_each_worker_once_is_one_end_of_each() -> None:
    floor = Floor(2 * MOST_ENDS)
    for number in range(2 * MOST_ENDS):
        floor.end(number, 1)
    floor.clock.now += FIRST_WAIT_S
    floor.supervisor.look()
    assert not floor.supervisor.stopping
    assert len(floor.supervisor.workers) == 2 * MOST_ENDS


def test_ends_far_apart_are_forgotten() -> None:
    floor = Floor(1)
    for _ in range(3 * MOST_ENDS):
        floor.end(0, 1)
        floor.clock.now += WITHIN_S
        assert floor.supervisor.look()
    assert not floor.supervisor.stopping


def test_start_that_cannot_work_stops_all_at_once_with_its_code() -> None:
    floor = Floor(listens=False)
    floor.end(2, 1)
    assert floor.supervisor.stopping
    assert all(floor.process(number).got == [signal.SIGTERM] for number in (0, 1))
    assert (floor.supervisor.look(), floor.supervisor.code) == (False, 1)


def test_restart_that_fails_is_one_end_more_as_the_others_may_go_on() -> None:
    floor = Floor()
    floor.end(1, 1)
    floor.listens = False
    floor.clock.now += FIRST_WAIT_S
    floor.supervisor.look()
    floor.end(1, 1)
    assert not floor.supervisor.stopping


def test_too_many_dead_letters_stop_all_with_that_code() -> None:
    floor = Floor()
    floor.end(0, 3)
    assert (floor.supervisor.look(), floor.supervisor.code) == (False, 3)
    assert floor.started == [0, 1, 2]


def test_stop_waits_for_all_and_tells_of_one_that_could_not() -> None:
    floor = Floor()
    floor.process(1).code = 1
    floor.supervisor.stop()
    assert (floor.supervisor.look(), floor.supervisor.code) == (False, 1)
    floor.clock.now += FIRST_WAIT_S * 2**MOST_ENDS
    assert not floor.supervisor.look()
    assert floor.started == [0, 1, 2]


def test_reload_goes_to_all_that_hear_it_and_ends_none_that_starts() -> None:
    floor = Floor()
    floor.supervisor.workers[1].port = None
    floor.supervisor.reload()
    assert [floor.process(n).got for n in range(3)] == [[signal.SIGHUP], [], [signal.SIGHUP]]


def test_worker_that_does_not_stop_is_killed() -> None:
    floor = Floor(1)
    floor.process(0).deaf = True
    floor.supervisor.stop(3)
    floor.clock.now += KILL_AFTER_S
    assert floor.supervisor.look()
    floor.clock.now += 1
    floor.supervisor.look()
    assert signal.SIGKILL in floor.process(0).got
    assert floor.supervisor.code == 3


def test_settings_reach_a_worker_as_they_are() -> None:
    settings = Settings(limits={"Time": (0.0, float("inf"))}, workers=2)
    text = of_worker(settings, 0).model_dump_json()
    assert Settings.model_validate_json(text).limits == {"Time": (0.0, float("inf"))}


def test_each_worker_has_names_of_its_own_and_metrics_for_the_supervisor_alone() -> None:
    settings = Settings(
        workers=2,
        replica="pod-1",
        http_host="0.0.0.0",  # noqa: S104 - not bound
        kafka={"consumer.group.instance.id": "pod-1", "client.id": "c"},
    )
    first, second = (of_worker(settings, number) for number in range(2))
    assert (first.replica, second.replica) == ("pod-1-0", "pod-1-1")
    assert first.kafka == {"consumer.group.instance.id": "pod-1-0", "client.id": "c"}
    assert (second.http_host, second.http_port, second.workers) == ("127.0.0.1", 0, 1)
    assert of_worker(Settings(workers=2), 0).replica != of_worker(Settings(workers=2), 1).replica


Pages = Mapping[tuple[int, str], tuple[int, str]]


def together(pages: Pages, *ports: int) -> Together:
    return Together(
        lambda: {port - 1: port for port in ports}, 2, lambda port, path: pages.get((port, path))
    )


def test_counters_and_histograms_are_added_and_gauges_told_apart(tiny: Model) -> None:
    pages = {}
    for port in (1, 2):
        registry = CollectorRegistry()
        metrics = Metrics(registry, tiny)
        metrics.records.inc(10 * port)
        metrics.dead_letters.labels("DECODE").inc(port)
        metrics.stage.labels("decode").observe(0.002)
        pages[port, "/metrics"] = (200, generate_latest(registry).decode())
    registry = CollectorRegistry()
    registry.register(together(pages, 1, 2))
    value = registry.get_sample_value
    assert value("scorer_records_total") == 30
    assert value("scorer_dead_letters_total", {"reason": "DECODE"}) == 3
    assert value("scorer_stage_seconds_bucket", {"stage": "decode", "le": "0.003"}) == 2
    assert value("scorer_workers") == 2
    info = {"name": "tiny", "version": "7", "sha256": tiny.sha256}
    assert value("scorer_model_info", {**info, "worker": "1"}) == 1
    again = generate_latest(registry).decode()
    assert again.count("# TYPE scorer_records_total counter\n") == 1


def test_worker_that_does_not_answer_is_left_out_and_counted() -> None:
    registry = CollectorRegistry()
    registry.register(
        together({(2, "/metrics"): (200, "# TYPE a_total counter\na_total 4.0\n")}, 1, 2)
    )
    assert registry.get_sample_value("a_total") == 4
    assert registry.get_sample_value("scorer_workers") == 1


def test_sum_never_falls_when_a_worker_is_silent_or_ends() -> None:
    page = '# TYPE a_total counter\na_total{x="1"} %d\n# TYPE g gauge\ng 1\n'
    pages: dict[tuple[int, str], tuple[int, str]] = {
        (port, "/metrics"): (200, page % (10 * port)) for port in (1, 2)
    }
    ports = {0: 1, 1: 2}
    registry = CollectorRegistry()
    registry.register(Together(lambda: ports, 2, lambda port, path: pages.get((port, path))))

    def sums() -> tuple[float | None, float | None, float | None]:
        value = registry.get_sample_value
        return value("a_total", {"x": "1"}), value("g", {"worker": "1"}), value("scorer_workers")

    assert sums() == (30, 1, 2)
    silent = pages.pop((2, "/metrics"))
    assert sums() == (30, None, 1)
    pages[2, "/metrics"] = silent
    assert sums() == (30, 1, 2)
    del pages[2, "/metrics"], ports[1]
    assert sums() == (30, None, 1)
    ports[1], pages[3, "/metrics"] = 3, (200, page % 5)
    assert sums() == (35, 1, 2)


def test_silent_worker_is_dead_only_after_a_while() -> None:
    clock = Clock()
    pages: dict[tuple[int, str], tuple[int, str]] = {}
    both = Together(lambda: {0: 1}, 1, lambda port, path: pages.get((port, path)), clock)
    assert both.live()[0]
    clock.now += DEAD_AFTER_S
    assert both.live()[0]
    clock.now += 1
    assert not both.live()[0]
    pages[1, "/healthz"] = (200, "ok")
    assert both.live()[0]


def test_probes_are_those_of_all_and_of_any() -> None:
    good, bad = (200, "ok"), (503, "no")
    both = together(
        {(1, "/healthz"): good, (2, "/healthz"): good, (1, "/readyz"): bad, (2, "/readyz"): good},
        *(1, 2),
    )
    assert (both.live()[0], both.ready()[0]) == (True, True)
    dead = together({(1, "/healthz"): bad, (2, "/healthz"): good}, 1, 2)
    assert (dead.live()[0], dead.ready()[0]) == (False, False)
    assert together({}).live()[0], "a worker that starts is not dead"


def test_drift_is_of_all_rows_and_of_one_models_bins() -> None:
    page = {"rows": 3, "features": {"V1": [1, 2]}, "score": [3]}
    pages = {(port, "/drift"): (200, json.dumps(page)) for port in (1, 2)}
    assert json.loads(together(pages, 1, 2).drift()) == {
        "rows": 6,
        "features": {"V1": [2, 4]},
        "score": [6],
    }
    assert plus([1, 2, 3], [4]) == [4]
