"""The harness can fail: it catches each planted bug for what it is."""

from collections.abc import Iterator

import pytest

from tests.faults.bugs import BUGS
from tests.faults.cluster import Cluster, cluster
from tests.faults.planted import FAST, caught_as

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def broker() -> Iterator[Cluster]:
    with cluster() as each:
        yield each


@pytest.mark.parametrize("name", FAST)
def test_bug_is_caught(broker: Cluster, name: str) -> None:
    assert BUGS[name].seen_as in caught_as(name, broker)
