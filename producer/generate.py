"""Draw synthetic transactions: the same rows for the same seed, any number, constant memory.

`python -m producer.generate --rows 10000 --seed 1 --fraud-rate 0.0075` wrote
transactions_data.csv: frauds are four times as frequent there as in the real data, so that a
person sees alerts within the first minute.
"""

import math
from collections.abc import Iterator
from itertools import accumulate

import click
import numpy as np
import numpy.typing as npt

from producer.figures import COLUMNS, FEATURES, Component, Figures, read_figures

Floats = npt.NDArray[np.float64]

REAL_FRAUD_RATE = 492 / 284_807  # 0.17 %, of the ULB data
# Rows are always drawn in chunks of this many, whatever is asked for, so that row i of a seed is
# the same in a short stream and in a long one.
CHUNK_ROWS = 4096
# The matrix product of so few rows stays on one thread, which is faster and gives the same bits.
BLOCK_ROWS = 256
SPAN_S = 172_800.0  # two days; a longer stream repeats their rhythm
# Currency units: from here on cents are drawn by themselves, since prices end in .00 and .99.
# Below, the common amounts (0.76, 1.00, 1.98) are steps in the quantile tables already.
CENTS_FROM = 10.0


def chunks(figures: Figures, *, seed: int, fraud_rate: float) -> Iterator[Floats]:
    """Yield rows without end, float64 (CHUNK_ROWS, 31), columns as in COLUMNS.

    Class is drawn for each row by itself: any stretch has the stated rate of frauds, on average.
    """
    rng = np.random.default_rng(seed)
    components = [Sampler(each) for each in (*figures.genuine, *figures.fraud)]
    genuine_steps = list(accumulate(each.share for each in figures.genuine))[:-1]
    fraud_steps = list(accumulate(each.share for each in figures.fraud))[:-1]
    cents_steps = np.cumsum(figures.cents)[:-1]
    clock = 0.0  # rows expected since Time 0
    while True:
        fraud = rng.random(CHUNK_ROWS) < fraud_rate
        pick, ending = rng.random(CHUNK_ROWS), rng.random(CHUNK_ROWS)
        normal = rng.standard_normal((CHUNK_ROWS, len(FEATURES)))
        clocks = clock + rng.standard_exponential(CHUNK_ROWS).cumsum()
        clock = float(clocks[-1])

        number = np.where(
            fraud,
            len(figures.genuine) + np.searchsorted(fraud_steps, pick),
            np.searchsorted(genuine_steps, pick),
        )
        chunk = np.empty((CHUNK_ROWS, len(COLUMNS)))
        for each, component in enumerate(components):
            rows = np.flatnonzero(number == each)
            chunk[rows, 1:-1] = component.draw(normal[rows])
        chunk[:, 0] = times(clocks, figures.hourly)
        chunk[:, 1:-2] = chunk[:, 1:-2].round(6)
        whole = np.floor(chunk[:, -2])
        priced = whole + np.searchsorted(cents_steps, ending) / 100
        chunk[:, -2] = np.where(~fraud & (whole >= CENTS_FROM), priced, chunk[:, -2])
        chunk[:, -2] = chunk[:, -2].clip(min=0.0).round(2)
        chunk[:, -1] = fraud
        yield chunk


class Sampler:
    """One copula, ready to draw."""

    def __init__(self, component: Component) -> None:
        features = len(FEATURES)
        self._mixing = np.zeros((features, features))  # lower triangular
        for row, factors in enumerate(component.mixing):
            self._mixing[row, : row + 1] = factors
        values = np.array(component.values)
        step = 2 * component.reach / (values.shape[1] - 1)
        # The tables go on for a standard deviation at either end, at a gentle slope: without it
        # the most extreme rows would all share one value.
        more = math.ceil(1 / step)
        below = values[:, :1] + (values[:, :1] - values[:, 1:2]) * np.arange(more, 0, -1) / more
        above = values[:, -1:] + (values[:, -1:] - values[:, -2:-1]) * np.arange(1, more + 1) / more
        table = np.hstack([below, values, above])  # (features, knots)
        self._origin, self._per_step = -component.reach - more * step, 1 / step
        self._last = table.shape[1] - 1
        self._values = table.ravel()
        self._slopes = np.hstack([np.diff(table), np.zeros((features, 1))]).ravel()
        self._starts = np.arange(features)[:, None] * table.shape[1]

    def draw(self, normal: Floats) -> Floats:
        """Return float64 (n, features) for standard normal variables of the same shape."""
        drawn = np.empty_like(normal)
        for begin in range(0, len(normal), BLOCK_ROWS):
            scores = self._mixing @ normal[begin : begin + BLOCK_ROWS].T
            place = ((scores - self._origin) * self._per_step).clip(0, self._last)
            knot = place.astype(np.intp)
            place -= knot
            knot += self._starts
            drawn[begin : begin + BLOCK_ROWS] = (
                self._values.take(knot) + self._slopes.take(knot) * place
            ).T
        return drawn


def times(clocks: Floats, hourly: list[float]) -> Floats:
    """Return whole seconds, never going back: many rows at noon, few at four in the morning."""
    expected = np.concatenate([[0.0], np.cumsum(hourly)])
    spans, within = np.divmod(clocks, expected[-1])
    hours = np.linspace(0.0, SPAN_S, len(expected))
    return np.floor(spans * SPAN_S + np.interp(within, expected, hours))


def generate(
    rows: int, *, seed: int, fraud_rate: float = REAL_FRAUD_RATE, figures: Figures | None = None
) -> Iterator[Floats]:
    """Yield `rows` rows in chunks, float64 (at most CHUNK_ROWS, 31), columns as in COLUMNS.

    Class is 0.0 or 1.0; Time whole seconds; V1 to V28 six decimals; Amount two.
    """
    left = rows
    for chunk in chunks(figures or read_figures(), seed=seed, fraud_rate=fraud_rate):
        if left <= 0:
            return
        yield chunk[:left]
        left -= CHUNK_ROWS


def csv_lines(rows: int, *, seed: int, fraud_rate: float) -> Iterator[str]:
    """Yield the header and the rows as lines of a CSV file, without line ends."""
    yield ",".join(COLUMNS)
    for chunk in generate(rows, seed=seed, fraud_rate=fraud_rate):
        for time, *features, label in chunk.tolist():
            yield f"{time:.0f},{','.join(map(repr, features))},{label:.0f}"


@click.command()
@click.option("--rows", type=click.IntRange(min=1), required=True, help="How many rows.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option(
    "--fraud-rate",
    type=click.FloatRange(0, 1),
    default=REAL_FRAUD_RATE,
    help="Share of frauds, 0 to 1 [default: 492/284807, the real data's 0.17 %].",
)
def main(rows: int, seed: int, fraud_rate: float) -> None:
    """Write synthetic transactions as CSV to standard output.

    The project's transactions_data.csv has a fraud rate of 0.75 %, so that alerts are seen soon:

    python -m producer.generate --rows 10000 --seed 1 --fraud-rate 0.0075 > transactions_data.csv
    """
    for line in csv_lines(rows, seed=seed, fraud_rate=fraud_rate):
        click.echo(line)


if __name__ == "__main__":
    main()
