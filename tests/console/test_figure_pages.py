"""Quality, Dead letters and Model in a real browser, from what the database holds; no Kafka."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from stream_scorer.console.people import Role
from tests.console.browser import visit
from tests.console.running import Console, running
from tests.console.test_dead_letters import letter
from tests.console.test_flow import store
from tests.console.test_quality import HOUR_MS, NOW, counts, published

pytestmark = pytest.mark.integration
# Kept as a test's output.
PICTURES = Path(os.environ.get("TEST_PICTURES", ""))
DAY_MS = 24 * HOUR_MS
MARKUP = b"<img src=x onerror=alert(1)>"
GOOD, NEW = "a" * 64, "b" * 64


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("figures")
    nobody = {"SCORER_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    with running(folder, f"sqlite:///{folder}/console.db", nobody) as each:
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
            *(letter(n, "MISSING" if n % 3 else "DECODE", key=MARKUP) for n in range(60)),
        )
        yield each


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return PICTURES if PICTURES.name else tmp_path


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("place", ["quality", "dead-letters"])
def test_page_keeps_nobody_out_and_never_scrolls_sideways(
    console: Console, browser: Browser, pictures: Path, place: str, width: int, *, dark: bool
) -> None:
    with visit(browser, console.origin, pictures, width=width, dark=dark) as window:
        window.sign_in("administrator")
        window.page.goto(f"{console.origin}/{place}")
        expect(window.page.get_by_role("heading", level=1)).to_have_count(1)
        window.page.get_by_role("heading", level=2).first.wait_for()
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
