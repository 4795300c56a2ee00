"""The monitor's ledger: in any order, repeated, cut off anywhere, the counts are the same."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence

import pytest

from stream_scorer.monitor.counts import ALL, DAY, DELAYS_S, HOUR, Counts, Window, rank_of
from stream_scorer.monitor.joined import UNMATCHED, Event, Label, Pack, Passed, Seen
from stream_scorer.monitor.ledger import MOST_WINDOWS, Ledger, Position, Row

MODEL, OTHER = "a" * 64, "b" * 64
BEGIN_MS = 1_700_000_000_000
BEGIN_DAY_MS, BEGIN_HOUR_MS = 1_699_920_000_000, 1_699_999_200_000
MANY = 1_000_000


def score(
    number: int,
    *,
    rank: int = 0,
    model: str = MODEL,
    time_ms: int | None = None,
    offset: int | None = None,
    alert_ms: int | None = None,
) -> Event:
    time_ms = BEGIN_MS + number if time_ms is None else time_ms
    place = ("transactions", 0, number if offset is None else offset)
    return Event(f"t{number}", said=Seen(model, rank, time_ms, *place, alert_ms))


def label(number: int, fraud: bool | None, *, time_ms: int | None = None) -> Event:  # noqa: FBT001
    time_ms = BEGIN_MS + number + 5000 if time_ms is None else time_ms
    return Event(f"t{number}", label=Label(fraud, time_ms, 0, time_ms))


def filled(events: Iterable[Event], keep: int = MANY) -> Ledger:
    ledger = Ledger(keep)
    for event in events:
        ledger.take([event])
    return ledger


def all_counts(ledger: Ledger) -> dict[Window, Counts]:
    return {window: c for window in ledger.windows() if (c := ledger.counts(window))}


def expected(events: Sequence[Event]) -> dict[Window, Counts]:
    """Count all events at once, by other means: the newest of each, then one pass."""
    labels: dict[str, Label] = {}
    seen: dict[tuple[str, str], Seen] = {}
    alerts: dict[tuple[str, str, str, int, int], int] = {}
    for event in events:
        key = event.transaction_id
        if event.label and (key not in labels or event.label.order >= labels[key].order):
            labels[key] = event.label
        if said := event.said:
            if (key, said.sha256) not in seen or said.order >= seen[key, said.sha256].order:
                seen[key, said.sha256] = said
            place = (key, said.sha256, said.topic, said.partition, said.offset)
            if said.alert_ms is not None:
                alerts[place] = min(alerts.get(place, said.alert_ms), said.alert_ms)
    totals: dict[Window, Counter[str]] = {}
    for (key, model), said in seen.items():
        alert_ms = alerts.get((key, model, said.topic, said.partition, said.offset))
        own = counted(said, alert_ms, labels.get(key))
        hours, days = said.time_ms // 3_600_000, said.time_ms // 86_400_000
        for kind, start in ((ALL, 0), (HOUR, hours * 3_600_000), (DAY, days * 86_400_000)):
            totals.setdefault((kind, start, model), Counter()).update(own)
    return {window: {k: v for k, v in each.items() if v} for window, each in totals.items()}


def counted(said: Seen, alert_ms: int | None, found: Label | None) -> Counter[str]:
    """Count one transaction."""
    truth = found.fraud if found else None
    name = {None: "unlabelled", True: "fraud", False: "genuine"}[truth]
    own = Counter({f"{name}.{said.rank}": 1})
    if alert_ms is not None:
        own[f"alerted.{name}"] = 1
    if found and truth is not None:
        for what, begun in (("label", said.time_ms), ("wait", alert_ms)):
            if begun is not None:
                ms = max(0, found.time_ms - begun)
                bounds = [s for s in DELAYS_S if ms <= s * 1000]
                own[f"{what}.{bounds[0] if bounds else 'more'}"] += 1
                own[f"{what}.ms"] += ms
    return own


def stream(seed: int, count: int) -> list[Event]:
    """Draw scores, alerts, labels, corrections and repeats, labels before their scores too."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    events: list[tuple[float, Event]] = []
    for number in range(count):
        when = number * 60_000
        rank, model = rng.randint(-20, 20), rng.choice([MODEL, MODEL, OTHER])
        one = score(number, rank=rank, model=model, time_ms=BEGIN_MS + when)
        events.append((number, one))
        if rank > 10:
            alert = score(
                number,
                rank=rank,
                model=model,
                time_ms=BEGIN_MS + when,
                alert_ms=BEGIN_MS + when + 20,
            )
            events += [(number + rng.uniform(-3, 3), alert)] * rng.randint(1, 2)
        for _ in range(rng.choice([0, 1, 1, 2])):
            truth = rng.choice([True, False, False, None])
            time_ms = BEGIN_MS + when + rng.randint(-5, 9_000_000)
            events.append((number + rng.uniform(-5, 20), label(number, truth, time_ms=time_ms)))
        if rng.random() < 0.1:
            events.append((number + rng.uniform(0, 20), one))
    return [event for _, event in sorted(events, key=lambda each: each[0])]


def test_counts_are_those_of_all_events_at_once() -> None:
    events = stream(1, 500)
    assert all_counts(filled(events)) == expected(events)


def test_order_and_repeats_change_nothing() -> None:
    events = stream(2, 200)
    shuffled = events * 2
    random.Random(3).shuffle(shuffled)  # noqa: S311
    assert all_counts(filled(shuffled)) == expected(events)


def test_letting_transactions_go_changes_nothing_while_labels_come_in_time() -> None:
    events = stream(4, 1000)
    ledger = filled(events, keep=100)
    assert 100 < len(ledger) <= 202
    assert all_counts(ledger) == expected(events)
    assert ledger.unmatched == 0


def test_ledger_goes_on_from_whatever_a_crash_has_left_of_its_writes() -> None:
    drawn = stream(5, 200)
    packs = [drawn[i : i + 7] for i in range(0, len(drawn), 7)]
    for number, pack in enumerate(packs):  # and labels that no score comes for
        pack += [label(100_000 + 2 * number, fraud=True), label(100_001 + 2 * number, fraud=True)]
    wanted = expected([event for pack in packs for event in pack])
    lone = lone_labels(packs)
    table: dict[str, Row] = {}
    ledger, cuts = Ledger(40), 0
    for place, pack in enumerate(packs):
        before = dict(table)
        writes = ledger.take(pack)
        # Letting go comes first, and moves no figure however much of it is written.
        going = max((i for i, (_, row) in enumerate(writes) if row is None), default=-1) + 1
        for cut in range(len(writes) + 1) if going or place % 5 == 0 else ():
            put(table := dict(before), writes[:cut])
            again = Ledger(40)
            again.load(table.items())
            if cut <= going:
                assert all_counts(again) == expected([e for p in packs[:place] for e in p])
            for rest in packs[place:]:
                put(table, again.take(rest))
            assert all_counts(again) == wanted, (place, cut)
            assert again.unmatched + len(again._held[UNMATCHED]) == lone
            reread = Ledger(40)
            reread.load(table.items())
            assert all_counts(reread) == wanted
            cuts += bool(going)
        put(table := dict(before), writes)
    assert cuts > 200


def lone_labels(packs: Iterable[Sequence[Event]]) -> int:
    """Return how many labels find no score, those included that still wait."""
    ledger = Ledger(40)
    for pack in packs:
        ledger.take(pack)
    assert ledger.unmatched > 0
    return ledger.unmatched + len(ledger._held[UNMATCHED])


def put(table: dict[str, Row], writes: Iterable[tuple[str, Row | None]]) -> None:
    for key, row in writes:
        if row is None:
            del table[key]
        else:
            table[key] = row


def test_record_that_comes_again_after_its_transaction_was_let_go_counts_once() -> None:
    passed = [Passed(i % 2, i // 2, score(i)) for i in range(500)]
    table: dict[str, Row] = {}
    ledger = Ledger(100)
    for begin in (0, 100, 200, 300, 400):
        put(table, ledger.take_pack(Pack("scores@1", passed[begin : begin + 100])))
    again = Ledger(100)
    again.load(table.items())
    put(table, again.take_pack(Pack("scores@1", passed[50:450])))
    assert again.counts((ALL, 0, MODEL)) == {"unlabelled.0": 500}
    put(table, again.take_pack(Pack("scores@2", [Passed(0, 0, score(999))])))  # a topic made anew
    assert again.counts((ALL, 0, MODEL)) == {"unlabelled.0": 501}


def test_position_is_written_behind_what_it_stands_for() -> None:
    writes = Ledger(100).take_pack(
        Pack("scores@1", [Passed(3, 8, score(1)), Passed(3, 9, score(2))])
    )
    assert [key for key, _ in writes] == ["t/t1", "t/t2", "p/scores@1/3"]
    assert writes[-1][1] == Position(10)


def test_repeat_writes_nothing() -> None:
    ledger = Ledger(MANY)
    assert len(ledger.take([score(1), score(1)])) == 1
    assert ledger.take([score(1)]) == []


def test_last_label_counts_by_its_own_time_and_may_be_withdrawn() -> None:
    late, early = label(1, fraud=False, time_ms=BEGIN_MS + 900), label(1, fraud=True, time_ms=9)
    for events in ([score(1), late, early], [early, score(1), late], [late, early, score(1)]):
        counts = filled(events).counts((ALL, 0, MODEL))
        assert counts["genuine.0"] == 1
        assert counts["label.ms"] == 899
    withdrawn = filled([score(1), late, label(1, None, time_ms=BEGIN_MS + 950)])
    assert withdrawn.counts((ALL, 0, MODEL)) == {"unlabelled.0": 1}


def test_latest_transaction_of_an_id_counts_and_the_alert_of_an_older_one_does_not() -> None:
    first = score(1, rank=9, offset=1, alert_ms=BEGIN_MS)
    second = score(1, rank=-9, offset=2, time_ms=BEGIN_MS + 86_400_000)
    for events in ([first, second], [second, first]):
        ledger = filled(events)
        assert ledger.counts((ALL, 0, MODEL)) == {"unlabelled.-9": 1}
        assert not ledger.counts((DAY, BEGIN_DAY_MS, MODEL))
    assert filled([first]).counts((HOUR, BEGIN_HOUR_MS, MODEL))["alerted.unlabelled"] == 1


def test_each_model_counts_by_itself() -> None:
    ledger = filled([score(1, rank=3), score(1, rank=4, model=OTHER), label(1, fraud=True)])
    assert ledger.counts((ALL, 0, MODEL))["fraud.3"] == 1
    assert ledger.counts((ALL, 0, OTHER))["fraud.4"] == 1


def test_label_that_comes_too_late_is_told_and_changes_no_figure() -> None:
    ledger = filled([score(i) for i in range(300)], keep=100)
    for number in range(150):
        ledger.take([label(number, fraud=True)])
    ledger.take([])
    assert 0 < ledger.unmatched <= 50  # the others still wait
    assert ledger.counts((ALL, 0, MODEL)) == {"unlabelled.0": 300}


def test_alert_waits_for_its_label_while_others_are_let_go() -> None:
    ledger = filled([score(0, alert_ms=BEGIN_MS), *(score(i) for i in range(1, 900))], keep=100)
    ledger.take([label(0, fraud=True)])
    assert ledger.counts((ALL, 0, MODEL))["alerted.fraud"] == 1


def test_transaction_that_alerts_after_its_score_is_one() -> None:
    events = [score(i) for i in range(90)] + [score(i, alert_ms=BEGIN_MS) for i in range(90)]
    table: dict[str, Row] = {}
    ledger = Ledger(100)
    put(table, ledger.take(events))
    again = Ledger(100)
    again.load(table.items())
    put(table, again.take([score(i) for i in range(90, 300)]))
    put(table, again.take([label(i, fraud=True) for i in range(90)]))
    assert again.counts((ALL, 0, MODEL))["alerted.fraud"] == 90
    assert again.counts((ALL, 0, MODEL))["unlabelled.0"] == 210
    assert len(again) == 190


def test_oldest_windows_go_and_are_not_begun_again() -> None:
    hours = MOST_WINDOWS + 3
    events = [score(i, time_ms=BEGIN_MS + i * 3_600_000) for i in range(hours)]
    table: dict[str, Row] = {}
    ledger = Ledger(MANY)
    put(table, ledger.take(events))
    put(table, ledger.take([label(0, fraud=True), label(hours - 1, fraud=True)]))
    again = Ledger(MANY)
    again.load(table.items())
    for each in (ledger, again):
        starts = sorted(start for kind, start, _ in each.windows() if kind == HOUR)
        assert starts == [BEGIN_HOUR_MS + i * 3_600_000 for i in range(3, hours)]
        assert each.counts((ALL, 0, MODEL))["fraud.0"] == 2


def test_transaction_without_a_time_is_in_no_hour() -> None:
    assert filled([score(1, time_ms=0)]).windows() == {(ALL, 0, MODEL)}


def test_changed_windows_are_told_until_somebody_has_looked() -> None:
    ledger = filled([score(1)])
    assert len(ledger.changed) == 3
    ledger.changed.clear()
    ledger.take([score(1)])
    assert not ledger.changed
    table: dict[str, Row] = {}
    put(table, Ledger(MANY).take([score(1)]))
    again = Ledger(MANY)
    again.load(table.items())
    assert len(again.changed) == 3  # whoever takes over tells all of it


@pytest.mark.parametrize(
    ("logit", "rank"),
    [(0.0, 0), (0.0156, 0), (0.015625, 1), (-0.001, -1), (99.0, 1023), (-99.0, -1024)],
)
def test_rank_is_the_whole_number_of_64ths_below(logit: float, rank: int) -> None:
    assert rank_of(logit) == rank
