"""Compares what was found on the output topics with the oracle, and commits with what was there."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.faults.oracle import ALERT, LETTER, Workload, number_of

TOLERANCE = 1e-6
EFFECT_TOLERANCE = 0.0006  # an effect is published with three digits
Where = tuple[str, int]  # topic, partition
Place = tuple[int, int]  # partition and offset of a record of the input


@dataclass(frozen=True, slots=True)
class Found:
    """One outcome as a reader met it."""

    kind: str  # of KINDS
    key: bytes | None
    source: Place  # of the record it is of
    where: Where
    offset: int
    digest: bytes  # of all that a repeat must have alike
    probability: float = 0.0  # of a score or an alert
    code: str = ""  # of a dead letter
    features: Mapping[str, float] = field(default_factory=dict)  # of an alert
    # of an alert: feature and effect, the strongest first
    reasons: Mapping[str, float] = field(default_factory=dict)
    id_holds: bool = True  # an alert's alert_id is what README says; a letter's bytes its record's


@dataclass(frozen=True, slots=True)
class Sample:
    """What the broker held at one moment; the offsets were asked for before the ends."""

    at_s: float  # monotonic
    committed: Mapping[int, int]  # by input partition; none: nothing committed
    input_ends: Mapping[int, int]
    output_ends: Mapping[Where, int]  # high watermarks: aborted and open transactions included


@dataclass
class Verdict:
    """How many of each, and the first offender of each that is not allowed."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    offenders: dict[str, str] = field(default_factory=dict)

    def note(self, what: str, offender: str, count: int = 1) -> None:
        """Count one thing that is not as it must be."""
        self.counts[what] += count
        self.offenders.setdefault(what, offender)

    def broken(self, *, repeats_allowed: bool) -> dict[str, str]:
        """Return the first offender of each invariant that does not hold."""
        allowed = {"dup"} if repeats_allowed else set()
        return {what: text for what, text in self.offenders.items() if what not in allowed}


def judge_outcomes(
    verdict: Verdict, workload: Workload, final: Sequence[Found], places: Mapping[int, Place]
) -> None:
    """Note what is lost, repeated, invented or wrong among what counts (I1, I3, I4, I6, I13).

    "lost": an outcome that must be there is not; "dup": it is there again; "phantom": it is of no
    record, or of a kind that record must not have; "differs": a repeat has other bytes; "wrong":
    its probability, code, id or bytes are not the oracle's, or it says that its record stands
    elsewhere than in `places`.
    """
    seen: dict[tuple[str, int], Found] = {}
    for each in final:
        n = number_of(each.key)
        if flaw := why_phantom(workload, each, n):
            verdict.note("phantom", f"{describe(each)}: {flaw}")
            continue
        assert n is not None
        first = seen.setdefault((each.kind, n), each)
        if first is not each:
            verdict.note("dup", f"{describe(each)}: there already at {first.where}@{first.offset}")
            if first.digest != each.digest:
                verdict.note("differs", f"{describe(each)}: not as at {first.where}@{first.offset}")
        if each.source != places.get(n):
            verdict.note("wrong", f"{describe(each)}: its record stands at {places.get(n)}")
        if flaw := why_wrong(workload, each, n):
            verdict.note("wrong", f"{describe(each)}: {flaw}")
    for n in range(workload.records):
        for kind in workload.expected(n):
            if (kind, n) not in seen:
                verdict.note("lost", f"record t{n} has no {kind}")


def why_phantom(workload: Workload, found: Found, n: int | None) -> str:
    """Say why an outcome must not exist at all; nothing if it may."""
    if n is None or n >= workload.records:
        return "no such record went in"
    if found.kind not in workload.expected(n):
        return f"that record must have {' and '.join(workload.expected(n)) or 'no outcome'}"
    return ""


def why_wrong(workload: Workload, found: Found, n: int) -> str:
    """Say what an outcome gives otherwise than the oracle; nothing if all is alike."""
    if found.kind == LETTER:
        code = workload.bad[n][0]
        if found.code != code:
            return f"dlq.code is {found.code}, want {code}"
    elif not abs(found.probability - workload.probability_of(n)) <= TOLERANCE:
        return f"probability is {found.probability}, want {workload.probability_of(n)}"
    if not found.id_holds:
        return "alert_id is another" if found.kind == ALERT else "its bytes are not the record's"
    if found.kind == ALERT and found.features != workload.features_of(n):
        return "its features are not the record's"
    if found.kind == ALERT and not alike(found.reasons, wanted := workload.reasons_of(n)):
        return f"its reasons are {dict(found.reasons)}, want {wanted}"
    return ""


def alike(reasons: Mapping[str, float], wanted: Mapping[str, float]) -> bool:
    """Tell whether reasons are the wanted ones in their order, each effect as published."""
    return list(reasons) == list(wanted) and all(
        abs(reasons[name] - effect) <= EFFECT_TOLERANCE for name, effect in wanted.items()
    )


def judge_readers(verdict: Verdict, live: Iterable[Found], final: Iterable[Found]) -> None:
    """Note what one of two committed readers saw and the other did not (I3, I4).

    Seen live and gone at the end: it came of a transaction that was aborted afterwards.
    """
    during = {(each.where, each.offset): each for each in live}
    after = {(each.where, each.offset): each for each in final}
    for place in sorted(during.keys() ^ after.keys()):
        who = "the live" if place in during else "the final"
        verdict.note("torn", f"{describe((during | after)[place])}: {who} reader alone saw it")


def judge_order(verdict: Verdict, final: Sequence[Found]) -> None:
    """Note outcomes that stand before those of earlier records of their partition (I5)."""
    last: dict[tuple[str, Where, int], int] = {}
    for each in sorted(final, key=lambda found: (found.where, found.offset)):
        partition, offset = each.source
        line = (each.kind, each.where, partition)
        if offset < last.get(line, -1):
            verdict.note("misordered", f"{describe(each)}: behind one of offset {last[line]}")
        last[line] = max(offset, last.get(line, -1))


def judge_commits(verdict: Verdict, samples: Sequence[Sample], final: Sequence[Found]) -> None:
    """Note commits that move back (I7) or are ahead of an outcome that was not there yet (I2)."""
    history: dict[int, list[tuple[int, int]]] = defaultdict(list)  # sample and offset
    for i, sample in enumerate(samples):
        for partition, offset in sample.committed.items():
            before = history[partition][-1][1] if history[partition] else -1
            if offset < before:
                verdict.note("back", f"partition {partition}: committed {before}, then {offset}")
            if offset > (end := sample.input_ends[partition]):
                verdict.note("beyond", f"partition {partition}: committed {offset}, ends at {end}")
            history[partition].append((i, offset))
    firsts: dict[tuple[int, Where], dict[tuple[str, int], int]] = defaultdict(dict)
    for each in sorted(final, key=lambda found: found.offset):
        partition, offset = each.source
        firsts[partition, each.where].setdefault((each.kind, offset), each.offset)
    for (partition, where), places in firsts.items():
        by_source = sorted((source, at) for (_, source), at in places.items())
        sources = np.array([source for source, _ in by_source])
        latest = np.maximum.accumulate([at for _, at in by_source])
        for i, offset in history[partition]:
            below = int(np.searchsorted(sources, offset))
            end = samples[i].output_ends[where]
            if below and latest[below - 1] >= end:
                verdict.note(
                    "ahead",
                    f"partition {partition}: {offset} was committed while {where} ended at {end}, "
                    f"and an outcome before it came to stand at {latest[below - 1]}",
                )


# Seconds. An older look says nothing of what was there when a fault came.
FRESH_S = 1.0
# Seconds that a recovery may take (I8): a dead member's session, a dead producer's transaction and
# the broker's look for it, 10 s each here at most, one after the other; and a slow machine.
MOST_RECOVERY_S = 60.0


def judge_faults(
    verdict: Verdict, samples: Sequence[Sample], faults: Sequence[float]
) -> list[float | None]:
    """Note faults that met no work, or after which the stream was not soon there again (I8).

    Returns what `recoveries` does.
    """
    recovered = recoveries(samples, faults)
    for at_s, seconds in zip(faults, recovered, strict=True):
        if seconds is None:
            verdict.note("stuck", f"not every partition moved on after the fault at {at_s:.1f}")
        elif seconds > MOST_RECOVERY_S:
            verdict.note("slow", f"{seconds:.1f} s after the fault at {at_s:.1f}")
        if flaw := idleness(samples, at_s):
            verdict.note("idle", f"the fault at {at_s:.1f} met no work: {flaw}")
    return recovered


def recoveries(samples: Sequence[Sample], faults: Sequence[float]) -> list[float | None]:
    """Return the seconds from each fault until the stream was there again, None if it never was.

    It is there again once, on every partition, a record is committed that came after the fault.
    Where nothing could be looked at when it came, as a broker was away: once more is committed than
    at the first look after it, and all that was there then.
    """
    found: list[float | None] = []
    for at_s in faults:
        before = next((s for s in reversed(samples) if at_s - FRESH_S <= s.at_s <= at_s), None)
        later = [s for s in samples if s.at_s > at_s]
        if before is not None:
            again = (s for s in later if is_beyond(s, before.input_ends, by=1))
        else:
            first = committed_in(later[0]) if later else 0
            moved = (s for s in later if committed_in(s) > first)
            again = (s for s in moved if is_beyond(s, later[0].input_ends, by=0))
        found.append(next((s.at_s - at_s for s in again), None))
    return found


def idleness(samples: Sequence[Sample], at_s: float) -> str:
    """Say why a fault at that moment proves nothing; nothing if it met work.

    It did if something was committed before it and after it, and something was sent, or waited to
    be committed, between the last look before it and the first that is FRESH_S after it.
    """
    before = [s for s in samples if s.at_s <= at_s]
    after = [s for s in samples if s.at_s > at_s]
    if not any(committed_in(s) for s in (*before, *after[:1])):  # a look takes a moment
        return "nothing was committed before it"
    if not any(committed_in(s) > committed_in(before[-1]) for s in after):
        return "nothing was committed after it"
    begin_s = min(before[-1].at_s, at_s - FRESH_S)
    end_s = next((s.at_s for s in after if s.at_s > at_s + FRESH_S), after[-1].at_s)
    around = [s for s in samples if begin_s <= s.at_s <= end_s]
    was_sent = around[-1].input_ends != around[0].input_ends
    if not was_sent and all(is_beyond(s, s.input_ends, by=0) for s in around):
        return "nothing was sent, and all was committed"
    return ""


def committed_in(sample: Sample) -> int:
    """Return how many records were committed."""
    return sum(sample.committed.values())


def is_beyond(sample: Sample, ends: Mapping[int, int], *, by: int) -> bool:
    """Tell whether on every partition so many more are committed than there once were."""
    return all(sample.committed.get(partition, 0) >= end + by for partition, end in ends.items())


def commits_within(samples: Sequence[Sample], begin_s: float, end_s: float) -> int:
    """Return how many records were committed between two moments."""
    sums = [committed_in(s) for s in samples if begin_s <= s.at_s <= end_s]
    return sums[-1] - sums[0] if sums else 0


def describe(found: Found) -> str:
    """Name an outcome for a person."""
    partition, offset = found.source
    place = f"{found.where[0]}[{found.where[1]}]@{found.offset}"
    return f"{found.kind} {found.key!r} of input {partition}/{offset} at {place}"
