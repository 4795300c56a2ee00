"""deploy/ at work: the composition's processes, a real Prometheus, a real Alertmanager."""

import contextlib
import re
import ssl
import urllib.request
from collections.abc import Iterator

import pytest

from tests.compose import started
from tests.integration.installed import Installation, installed
from tests.integration.stream import wait_for
from tests.test_deploy import expressions

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("operations")
    with installed(folder) as found, started("replay", folder, found.here):
        yield found


def test_prometheus_scrapes_scorers_and_monitor(installation: Installation) -> None:
    wait_for("the scorers", lambda: installation.watch.up("scorer") == 2)
    wait_for("the monitor", lambda: installation.watch.up("monitor") == 1)


def test_console_answers_over_tls_by_the_name_in_its_certificate(
    installation: Installation,
) -> None:
    trust = ssl.create_default_context(cafile=str(installation.certificate / "cert.pem"))

    def answered() -> bool:
        try:
            url = f"{installation.console}/healthz"
            with urllib.request.urlopen(url, timeout=5, context=trust) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_for("the console", answered)


# Nothing of these in a small installation that has just begun, and has labelled nothing.
MAY_BE_EMPTY = re.compile("challenger|monitor_|topk|scorer_dead_letters")


def test_every_query_of_the_dashboard_has_an_answer(installation: Installation) -> None:
    wait_for("alerts", lambda: bool(installation.watch.ask("sum(scorer_alerts_total) > 5")))
    wanted = [each for each in expressions() if not MAY_BE_EMPTY.search(each)]
    assert len(wanted) > 20
    for expression in expressions():
        installation.watch.ask(expression)  # raises if Prometheus does not take it

    def silent() -> list[str]:
        return [each for each in wanted if not installation.watch.ask(each)]

    with contextlib.suppress(TimeoutError):  # the names of those that stay so say more
        wait_for("an answer to each", lambda: not silent())
    assert silent() == []


def test_alert_reaches_the_alertmanager_when_no_scorer_is_up(installation: Installation) -> None:
    wait_for("the scorers", lambda: installation.watch.up("scorer") == 2)
    assert "ScorerDown" not in installation.watch.fired()
    for scorer in installation.scorers:
        scorer.process.terminate()
        assert scorer.process.wait(30) == 0, scorer.log.read_text()
    wait_for("the alert", lambda: "ScorerDown" in installation.watch.fired(), timeout_s=150)
    (alert,) = [
        each for each in installation.watch.alerts() if each["labels"]["alertname"] == "ScorerDown"
    ]
    assert alert["labels"]["severity"] == "page"
    assert alert["receivers"] == [{"name": "pages"}]
