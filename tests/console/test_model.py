"""Model: what the file and the scorer say, and what-if from what is known, no more."""

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import requests
from prometheus_client import CollectorRegistry, generate_latest

from stream_scorer.config import SHIPPED_MODEL, Settings
from stream_scorer.console import trial
from stream_scorer.console.database import Database
from stream_scorer.console.history import Histories, History, history
from stream_scorer.console.pages.alert_detail import feature_rows
from stream_scorer.console.pages.model import challenged, covers, drift_rows, picture, serving
from stream_scorer.console.pages.sliders import number_of
from stream_scorer.console.pages.what_if_threshold import made_of, outcome
from stream_scorer.console.scorer_metrics import LARGEST_BYTES, Asking, Scorer, judgement, parse
from stream_scorer.console.shelf import UNUSABLE, Shelf
from stream_scorer.drift import Drift
from stream_scorer.errors import BadInput
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model
from stream_scorer.records import Outcome
from stream_scorer.what_if.figures import Costs
from tests.bundles import BASELINE, NAMES, metadata, write_bundle
from tests.bundles import probability as by_hand
from tests.console.conftest import Milliseconds
from tests.console.test_flow import alert, label, record, store
from tests.fakes import Clock

DAY_MS = 86_400_000


def test_card_of_the_shipped_model_says_what_was_measured_with_counts() -> None:
    card = Shelf(SHIPPED_MODEL).card()
    assert card.facts["sha256"] == card.model.sha256
    assert card.facts["Golden rows"].endswith("held when it was loaded here")
    recall = next(text for name, text in card.facts.items() if name.startswith("Recall at"))
    assert "of 60 frauds" in recall
    assert card.text.startswith("# Model card")


def test_model_that_says_nothing_of_its_making_has_a_card_without_figures(tiny_path: Path) -> None:
    card = Shelf(tiny_path).card()
    assert card.text == ""
    assert card.facts["Model"] == "tiny 7"
    assert not any("Precision" in name for name in card.facts)


def test_what_is_usual_holds_nine_in_ten_of_trainings_rows() -> None:
    model = Model.load(SHIPPED_MODEL)
    usual = trial.usual(model)
    assert usual.keys() == model.histograms.keys()
    for name, (low, high) in usual.items():
        known = model.histograms[name]
        inside = (known.edges[:-1] >= low) & (known.edges[1:] <= high)
        assert 0.85 <= known.counts[inside].sum() / known.counts.sum() <= 1, name


def test_feature_beyond_what_is_usual_is_said_in_a_word() -> None:
    model = Model.load(SHIPPED_MODEL)
    low, high = trial.usual(model)["V14"]
    values = {"V14": low - 1, "V4": 99.0, "V1": 0.0, "V2": None}
    rows = {row["feature"]: row for row in feature_rows(values, model)}
    assert [rows[name]["says"] for name in values] == ["low", "high", "", ""]
    assert rows["V14"]["nine in ten"] == f"{low:.4g} to {high:.4g}"
    assert {row["nine in ten"] for row in feature_rows(values, None)} == {"-"}


@pytest.mark.parametrize("odd", ["[]", "7", '{"rows": 1}', "{"])
def test_odd_metadata_take_the_figures_away_and_nothing_else(tmp_path: Path, odd: str) -> None:
    path = write_bundle(tmp_path / "odd.onnx", metadata(evaluation=odd, trained_on=odd))
    assert Shelf(path).card().facts["Model"] == "tiny 7"


def test_file_that_changes_is_loaded_anew_and_a_broken_one_is_said_without_its_path(
    tmp_path: Path,
) -> None:
    path = write_bundle(tmp_path / "a.onnx")
    shelf = Shelf(path)
    first = shelf.card()
    assert shelf.card() is first
    write_bundle(tmp_path / "b.onnx", metadata(version="8")).replace(path)
    assert shelf.card().facts["Model"] == "tiny 8"
    path.write_bytes(b"no model")
    with pytest.raises(BadInput) as caught:
        shelf.card()
    assert str(caught.value) == UNUSABLE
    path.unlink()
    with pytest.raises(BadInput, match=r"^The model file cannot be used"):
        shelf.card()


def test_scorers_own_metrics_are_read_as_it_writes_them(tiny: Model) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, tiny)
    metrics.probability.observe(np.array([0.0005, 0.15, 0.16, 0.97], dtype=np.float32))
    metrics.disagreements.labels("challenger").inc(3)
    metrics.challenger_not_finite.inc(2)
    found = parse(generate_latest(registry).decode())
    assert (found.name, found.version, found.sha256) == ("tiny", "7", tiny.sha256)
    assert (found.rows, found.judged) == (0, False)
    assert (found.champion_only, found.challenger_only, found.not_finite) == (None, 3, 2)
    assert [each for each in found.scores if each[1]] == [(0.001, 1), (0.2, 2), (0.99, 1)]


def test_drift_is_sorted_by_its_index_and_tells_how_many_records_it_is_of() -> None:
    text = (
        'scorer_drift_psi{feature="V1"} 0.05\nscorer_drift_psi{feature="V2"} 0.3\n'
        'scorer_drift_psi{feature="V3"} NaN\nscorer_drift_psi{feature="V4"} 0.2\n'
        'scorer_drift_out_of_range_ratio{feature="V2"} 0.125\nscorer_drift_rows 2500\n'
        "scorer_drift_window_seconds 7200\nscorer_drift_score_psi 0.02\n"
    )
    found = parse(text)
    rows = drift_rows(found)
    assert [(row["feature"], row["says"]) for row in rows] == [
        ("V2", "shifted: look at its producer"),
        ("V4", "worth a glance"),
        ("V1", "steady"),
    ]
    assert {row["records"] for row in rows} == {"2,500"}
    assert rows[0]["beyond training"] == "12.50%"
    assert covers(found).startswith(
        "Of 2,500 records within 2 h. Index of the score: 0.020 (steady)"
    )


def test_few_records_are_not_judged() -> None:
    assert covers(Scorer(rows=1999, seconds=60)).endswith("Fewer than 2,000 records: not judged.")
    assert covers(Scorer()) == "Not known: the scorer tells no drift."


def test_another_model_at_the_scorer_is_said(tiny_path: Path) -> None:
    card = Shelf(tiny_path).card()
    assert serving(Scorer(sha256=card.model.sha256), card).endswith(": the same.")
    assert "NOT the model" in serving(Scorer(sha256="f" * 64), card)
    assert challenged(Scorer(champion_only=4, challenger_only=0)).startswith(
        "Records on which only the champion alerts: 4; only the challenger: 0;"
    )
    assert "or there is none" in challenged(Scorer())


@pytest.mark.parametrize(("psi", "says"), [(0.25, "worth a glance"), (0.1, "steady")])
def test_levels_themselves_are_not_beyond(psi: float, says: str) -> None:
    assert judgement(psi) == says


@pytest.mark.parametrize(
    "failure",
    [requests.ConnectionError("no"), ValueError("x"), requests.exceptions.InvalidURL("x")],
)
def test_scorer_that_does_not_answer_is_unknown_and_asked_again_after_a_while(
    failure: Exception,
) -> None:
    clock, asked = Clock(), []

    def fetch(url: str) -> str:
        asked.append(url)
        if len(asked) == 1:
            raise failure
        return "scorer_drift_rows 5\n"

    asking = Asking("http://127.0.0.1:1/metrics", fetch, clock)
    assert str(asking.latest()).startswith("Not known: SCORER_CONSOLE_METRICS gives no metrics")
    assert isinstance(asking.latest(), str)
    clock.now += 5
    assert asking.latest() == Scorer(rows=5)
    assert len(asked) == 2


def test_without_an_address_nobody_is_asked() -> None:
    assert str(Asking("").latest()).startswith("Not known: set SCORER_CONSOLE_METRICS")


@pytest.mark.parametrize("text", ["<html>", "scorer_drift_rows five\n", "scorer_drift_psi{ 1\n"])
def test_page_that_holds_no_metrics_is_unknown(text: str) -> None:
    assert isinstance(Asking("http://x", lambda _: text).latest(), str)


@contextmanager
def answering(
    status: int,
    headers: dict[str, str],
    body: bytes,
    pages: Mapping[str, bytes] = MappingProxyType({}),
) -> Iterator[str]:
    """Answer every question alike, but for those of `pages`; give the address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(pages.get(self.path, body))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()
        thread.join()


def test_metrics_are_fetched_from_the_address_itself_and_from_nowhere_else() -> None:
    rows = b"scorer_drift_rows 5\n"
    with answering(200, {}, rows) as url:
        assert Asking(url).latest() == Scorer(rows=5)
        with answering(302, {"Location": url}, b"") as elsewhere:
            assert isinstance(Asking(elsewhere).latest(), str)
    with answering(500, {}, rows) as url:
        assert isinstance(Asking(url).latest(), str)


def test_rows_of_each_bin_are_read_from_the_scorers_own_page(shipped_drift: bytes) -> None:
    page = b"scorer_drift_rows 3000\n"
    with answering(200, {}, page, {"/drift": shipped_drift}) as url:
        found = Asking(url).latest()
    assert isinstance(found, Scorer)
    assert sum(found.seen["V14"]) == 200
    model = Model.load(SHIPPED_MODEL)
    drawn = picture(found, model, "V14")
    assert drawn is not None
    low, high = model.histograms["V14"].edges[-2:]
    assert drawn["words"] == (
        f"V14 from {low:.4g} to {high:.4g}: 100.0% of the records, 5.0% in training"
    )
    assert picture(found, model, "Time") is None
    assert picture(found, None, "V14") is None


@pytest.mark.parametrize("odd", [b"<html>", b"{}", b'{"features": {"V1": [-1]}}', b"[]"])
def test_scorer_without_that_page_still_tells_its_figures(odd: bytes) -> None:
    with answering(200, {}, b"scorer_drift_rows 3000\n", {"/drift": odd}) as url:
        assert Asking(url).latest() == Scorer(rows=3000)


@pytest.fixture
def shipped_drift() -> bytes:
    """Give what a scorer says of 200 rows whose V14 is beyond training."""
    model = Model.load(SHIPPED_MODEL)
    drift = Drift(3600.0)
    drift.watch(model)
    rows = np.tile(model.baseline, (200, 1))
    rows[:, model.feature_names.index("V14")] = 99.0
    logit, probability = model.score(rows)
    outcome = Outcome(model.sha256, (), (), (), rows, logit, probability, {})
    drift.observe(200, outcome)
    return drift.counts()


def test_answer_without_end_is_not_read_to_its_end() -> None:
    with answering(200, {}, b"# x\n" * (LARGEST_BYTES // 4 + 1)) as url:
        assert isinstance(Asking(url).latest(), str)


def alert_of(number: int, probability: float, **other: Any) -> Any:
    source = {
        "topic": "transactions",
        "partition": 0,
        "offset": number,
        "timestamp_ms": number * DAY_MS // 10,
    }
    value = alert(number, probability=probability, source=source, threshold=0.5, **other)
    return record(Settings().alerts_topic, number, value, at=number * DAY_MS // 10 + 5)


def labelled(database: Database, count: int = 40) -> History:
    """Store alerts of four days: every fourth a fraud, the last fifth without a label."""
    store(database, *(alert_of(n, 0.5 + n / 100) for n in range(count)))
    store(database, *(label(n, f"t{n}", int(n % 4 == 0)) for n in range(count * 4 // 5)))
    with database.reading() as connection:
        found = history(connection)
    assert found is not None
    return found


def test_labelled_alerts_are_counted_as_what_if_counts_them(database: Database) -> None:
    found = labelled(database)
    assert (len(found.scored.frauds), len(found.scored.genuine)) == (8, 24)
    assert len(found.scored.unlabelled) == 8
    assert (found.floor, found.judged, found.others, found.unread) == (0.5, True, 0, 0)
    figures = found.at(0.7, Costs(5.0))
    assert (figures.frauds_caught, round(figures.false_alerts)) == (3, 9)
    assert figures.alerts == 20
    assert figures.alerts_a_day == pytest.approx(20 / 3.9)
    assert figures.cost == pytest.approx(9 * 5 + 5 * 9.5)
    shown = outcome(found, figures, limited=False)
    assert shown["Precision"].startswith("0.25 (3 of 12 labelled alerts;")
    assert shown["Frauds kept"] == "3 of 8 that alerted"


def test_no_threshold_below_the_one_that_alerted_is_judged(database: Database) -> None:
    found = labelled(database)
    assert found.at(0.1, Costs()) == found.at(0.5, Costs())
    assert (found.best(Costs(0.001)).figures.threshold or 0) >= 0.5
    assert "Alerts begin at 0.5: what scored less is not here" in made_of(found)


def test_threshold_that_was_lower_for_a_while_leaves_what_alerted_only_then_out(
    database: Database,
) -> None:
    store(database, *(alert_of(n, 0.55) for n in range(5)))
    lower = alert_of(6, 0.95)
    value = lower.value().replace(b'"threshold": 0.5', b'"threshold": 0.9')
    store(database, record(Settings().alerts_topic, 6, value))
    with database.reading() as connection:
        found = history(connection)
    assert found is not None
    assert (found.floor, len(found.scored.unlabelled)) == (0.9, 1)


def test_alerts_of_other_models_and_without_a_threshold_are_left_out_and_counted(
    database: Database,
) -> None:
    other = {"name": "fraud", "version": "0", "sha256": "1" * 64}
    source = {"topic": "t", "partition": 0, "offset": 9, "timestamp_ms": 5}
    store(database, alert_of(1, 0.9, model=other), alert_of(2, 0.9))
    store(database, record(Settings().alerts_topic, 3, alert(3, source=source)))
    with database.reading() as connection:
        found = history(connection)
    assert found is not None
    assert (found.others, found.unread, len(found.scored.unlabelled)) == (1, 1, 1)
    assert not found.judged


def test_no_alerts_are_no_history_and_it_is_read_once_in_half_a_minute(
    database: Database, clock: Milliseconds
) -> None:
    shared = Histories(database, clock)
    assert shared.latest() is None
    store(database, alert_of(1, 0.9))
    assert shared.latest() is None
    clock.now += 30_000
    assert shared.latest() is not None


def test_probability_of_a_turned_transaction_is_the_models(tiny: Model) -> None:
    values = {"Time": 0.0, "V1": 3.0, "Amount": 20.0}
    found = trial.judge(tiny, values)
    assert found.probability == pytest.approx(float(by_hand([[0.0, 3.0, 20.0]])[0]), abs=1e-6)
    assert [(e.feature, e.value, e.baseline) for e in found.effects] == [("V1", 3.0, 0.0)]
    assert found.effects[0].effect == pytest.approx(6.0, abs=1e-4)


def test_features_to_turn_first_are_the_reasons_or_what_could_raise_the_score(tiny: Model) -> None:
    assert trial.leading(tiny, {"Time": 0.0, "V1": 3.0, "Amount": 900.0}) == ["Amount", "V1"]
    assert trial.leading(tiny, trial.typical(tiny))[0] == "V1"
    assert trial.typical(tiny) == dict(zip(NAMES, BASELINE, strict=True))


def test_slider_reaches_from_the_lowest_of_training_to_the_highest_and_to_the_transaction() -> None:
    model = Model.load(SHIPPED_MODEL)
    start = {**trial.typical(model), "V14": -1e6}
    limits = trial.limits(model, start)
    edges = model.histograms["V14"].edges
    assert limits["V14"] == (-1e6, edges[-1])
    for name, (low, high) in limits.items():
        assert low <= start[name] <= high
        assert low < high


def test_alerts_features_are_the_ones_to_begin_with(database: Database, tiny: Model) -> None:
    whole = {"Time": 1.0, "V1": 3.0, "Amount": 2.0}
    for number, features in enumerate(
        [whole, {"V1": 3.0}, {**whole, "V1": 1e301}, {**whole, "more": 1.0}]
    ):
        store(database, alert_of(number, 0.9, features=features))
    with database.reading() as connection:
        found, sha256 = trial.of_alert(connection, tiny, "a0")
        assert (found, sha256) == (whole, "0" * 64)
        assert trial.of_alert(connection, tiny, "a3")[0] == whole
        for lacking in ("a1", "a2"):
            with pytest.raises(BadInput, match="lacks"):
                trial.of_alert(connection, tiny, lacking)
        with pytest.raises(BadInput, match="no such alert"):
            trial.of_alert(connection, tiny, "'; DROP TABLE alert")


@pytest.mark.parametrize(
    ("value", "taken"),
    [(None, 0.0), ("x", 0.0), (math.nan, 0.0), (math.inf, 0.0), (-5, 0.0), (7, 7.0), (99, 10.0)],
)
def test_what_a_browser_says_of_a_slider_stays_within_its_limits(value: Any, taken: float) -> None:
    assert number_of(value, 0.0, 10.0) == taken
    assert np.isfinite(number_of(value, 0.0, 10.0))
