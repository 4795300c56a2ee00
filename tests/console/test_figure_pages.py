"""Quality, Dead letters and Model in a real browser, from what the database holds; no Kafka."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import func, select

from stream_scorer.config import SHIPPED_MODEL
from stream_scorer.console import schema, trial
from stream_scorer.console.people import Role
from stream_scorer.metrics import Metrics
from stream_scorer.model import Model
from tests.console.browser import visit
from tests.console.running import Console, running
from tests.console.test_dead_letters import letter
from tests.console.test_flow import label, store
from tests.console.test_model import alert_of, answering
from tests.console.test_quality import HOUR_MS, NOW, counts, published

pytestmark = pytest.mark.integration
# Kept as a test's output.
PICTURES = Path(os.environ.get("TEST_PICTURES", ""))
DAY_MS = 24 * HOUR_MS
MARKUP = b"<img src=x onerror=alert(1)>"
GOOD, NEW = "a" * 64, "b" * 64


TYPICAL = trial.typical(Model.load(SHIPPED_MODEL))


@contextmanager
def scorer() -> Iterator[str]:
    """Serve metrics as a scorer would whose stream has drifted; give their address."""
    registry = CollectorRegistry()
    shipped = Model.load(SHIPPED_MODEL)
    Metrics(registry, shipped).disagreements.labels("challenger").inc(3)
    page = generate_latest(registry).replace(b"scorer_drift_rows 0.0", b"scorer_drift_rows 9000.0")
    seen = {name: each.counts.tolist() for name, each in shipped.histograms.items()}
    seen["V28"] = seen["V28"][::-1][:5] + [0] * (len(seen["V28"]) - 5)
    psi = "".join(f'scorer_drift_psi{{feature="V{n}"}} {n / 50}\n' for n in range(1, 29))

    drift = json.dumps({"rows": 9000, "features": seen, "score": []}).encode()
    with answering(200, {}, page + psi.encode(), {"/drift": drift}) as url:
        yield url


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("figures")
    with (
        scorer() as url,
        running(
            folder,
            f"sqlite:///{folder}/console.db",
            {"SCORER_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "SCORER_CONSOLE_METRICS": url},
        ) as each,
    ):
        for role in Role:
            each.add(role.word, role)
        begin = NOW // DAY_MS * DAY_MS
        windows = [("hour", begin + n * HOUR_MS, GOOD) for n in range(30)]
        windows += [("day", begin - DAY_MS, GOOD), ("day", begin, GOOD)]
        store(
            each.database,
            published(("all", 0, NEW), counts(4, 3, 2, 3)),
            *(
                published(window, counts(20 + n, 4, n % 5, 50), n)
                for n, window in enumerate(windows)
            ),
            published(("all", 0, GOOD), counts(580, 120, 90, 8210)),
            *(alert_of(n, 0.5 + n / 100, features=TYPICAL | {"V14": -8.0}) for n in range(40)),
            *(label(n, f"t{n}", int(n % 4 == 0)) for n in range(32)),
            *(letter(n, "MISSING" if n % 3 else "DECODE", key=MARKUP) for n in range(60)),
        )
        yield each


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return PICTURES if PICTURES.name else tmp_path


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("place", ["quality", "model", "dead-letters"])
def test_page_keeps_nobody_out_and_never_scrolls_sideways(
    console: Console, browser: Browser, pictures: Path, place: str, width: int, *, dark: bool
) -> None:
    with visit(browser, console.origin, pictures, width=width, dark=dark) as window:
        window.sign_in("administrator")
        window.page.goto(f"{console.origin}/{place}")
        expect(window.page.get_by_role("heading", level=1)).to_have_count(1)
        window.page.locator("tbody tr").first.wait_for()
        window.picture(f"{place}-{width}-{'dark' if dark else 'light'}")
        for fold in window.page.locator(".q-expansion-item .q-item").all():
            fold.click()
        assert window.barriers() == []
        assert window.sideways() == 0


def test_quality_tells_shares_with_counts_and_moves_when_the_monitor_writes(
    console: Console, browser: Browser, pictures: Path
) -> None:
    with visit(browser, console.origin, pictures) as window:
        window.sign_in("viewer")
        page = window.page
        page.goto(f"{console.origin}/quality?model={GOOD}")
        figure = page.locator('[data-figure="precision"]')
        expect(figure).to_contain_text("0.83580 of 700 labelled alerts; 0.80 to 0.85")
        page.get_by_text("No figures since 2023-11-14 22:13:20 UTC.").wait_for()
        expect(page.locator("tbody").last).to_contain_text("Not enough labels yet (12 of 30).")
        store(console.database, published(("all", 0, GOOD), counts(581, 120, 90, 8210), 100))
        expect(figure).to_contain_text("581 of 701 labelled alerts")
        page.goto(f"{console.origin}/quality?by=day&model={NEW}")
        page.get_by_text("Not enough labels yet (12 of 30).").first.wait_for()
        expect(figure).to_have_count(0)


def test_list_of_dead_letters_goes_on_by_code_and_survives_kafka_being_away(
    console: Console, browser: Browser, pictures: Path
) -> None:
    with visit(browser, console.origin, pictures) as window:
        window.sign_in("operator")
        page = window.page
        page.goto(f"{console.origin}/dead-letters?code=DECODE&open=-1")
        expect(page.locator("tbody tr")).to_have_count(20)
        page.get_by_label("Code").click()
        page.get_by_role("option", name="all codes").click()
        expect(page.locator("tbody tr")).to_have_count(50)
        expect(page.locator("tbody")).to_contain_text(MARKUP.decode()[:20])
        page.get_by_role("button", name="Next page").click()
        expect(page.locator("tbody tr")).to_have_count(10)
        page.keyboard.press("j")
        page.get_by_text("Its bytes are not to be had: Kafka at 127.0.0.1:1").wait_for()


def test_model_page_tells_drift_by_size_and_what_the_scorer_runs(
    console: Console, browser: Browser, pictures: Path
) -> None:
    with visit(browser, console.origin, pictures) as window:
        window.sign_in("viewer")
        page = window.page
        page.goto(f"{console.origin}/model")
        page.get_by_text("9,000 records within").wait_for()
        page.get_by_text(": the same.").wait_for()
        expect(page.locator("tbody tr").first).to_contain_text("V28")
        page.get_by_text("only the challenger: 3;").wait_for()
        expect(page.get_by_role("slider")).to_have_count(0)
        expect(page.get_by_text("This wants the role analyst.")).to_have_count(1)


def test_sliders_move_the_figures_and_write_nothing(
    console: Console, browser: Browser, pictures: Path
) -> None:
    before = audit_lines(console)
    with visit(browser, console.origin, pictures) as window:
        window.sign_in("analyst")
        page = window.page
        page.goto(f"{console.origin}/model")
        kept = page.locator('[data-outcome="Frauds kept"]')
        expect(kept).to_contain_text("0 of 8 that alerted")
        to_the_left(page.get_by_role("slider", name="Threshold"))
        expect(kept).to_contain_text(re.compile("[78] of 8 that alerted"))
        page.get_by_text("Cheapest within the capacity: ").wait_for()
        probability = page.locator(".probability")
        expect(probability).to_contain_text("would not alert from 0.8 on")
        text = probability.inner_text()
        to_the_left(page.locator(".turns").nth(1).get_by_role("slider").first)
        expect(probability).not_to_have_text(text)
        page.locator(".turns").first.scroll_into_view_if_needed()
        window.picture("what-if")
        page.get_by_role("button", name="Reset").click()
        expect(probability).to_have_text(text)
    assert audit_lines(console) == before + 1, "the signing in and nothing else"


def test_what_if_begins_from_an_alert_that_the_page_alerts_links_to(
    console: Console, browser: Browser, pictures: Path
) -> None:
    with visit(browser, console.origin, pictures) as window:
        window.sign_in("analyst")
        page = window.page
        page.goto(f"{console.origin}/alerts?open=a3&state=all")
        page.get_by_role("link", name="What if its features were others?").click()
        page.get_by_text("Begun from alert a3 (scored by another model, 000000000000).").wait_for()
        expect(page.locator(".effects")).to_contain_text("with a typical V14")
        page.goto(f"{console.origin}/model?alert=<b>none</b>")
        page.get_by_text("Begun from the median genuine transaction (there is no such").wait_for()


def to_the_left(slider: Locator) -> None:
    """Move a slider to its lowest value."""
    slider.click(position={"x": 1, "y": 10})


def audit_lines(console: Console) -> int:
    with console.database.reading() as connection:
        found: int = connection.scalars(select(func.count()).select_from(schema.audit)).one()
    return found
