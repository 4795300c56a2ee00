"""The rows that are quick and tell most, with fewer records: they hold on a real Kafka."""

from collections.abc import Iterator

import pytest

from tests.faults.cluster import Cluster, cluster
from tests.faults.registry import all_rows
from tests.faults.runner import Scale, run_row

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SCALE = Scale(records=20_000, seed=1, quick=True)
CHOSEN = (
    *("R01", "R02", "R03", "R04", "R09", "R12", "R22c"),
    *("R25", "R27", "R30", "R31", "R32", "R58", "R61", "R62"),
)
ROWS = [(row, each) for row in all_rows().values() if row.id in CHOSEN for each in row.guarantees]


@pytest.fixture(scope="module")
def broker() -> Iterator[Cluster]:
    with cluster() as each:
        yield each


@pytest.mark.parametrize(
    ("name", "guarantee"), [pytest.param(row.id, each, id=f"{row.id}-{each}") for row, each in ROWS]
)
def test_row_holds(broker: Cluster, name: str, guarantee: str) -> None:
    finished = run_row(all_rows()[name], guarantee, broker, SCALE)
    assert finished.holds, finished.error or (finished.result and finished.result.broken)
