"""Dead letters over a real Kafka: looked at with their bytes, and fed in again from the page."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.console.browser import PICTURES, visit
from tests.console.running import Console, over
from tests.integration.stream import Stream, fresh_stream
from tests.integration.test_dead_letters import ids, write_letters

pytestmark = pytest.mark.integration
LETTERS = 30


@dataclass
class Whole:
    """Dead letters on a topic, and the console over it."""

    stream: Stream
    console: Console
    wanted: list[str]
    pictures: Path


@pytest.fixture(scope="module")
def whole(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    folder = tmp_path_factory.mktemp("redrive")
    with fresh_stream(kafka, folder, partitions=2) as stream:
        wanted = write_letters(stream, LETTERS)
        with over(stream, folder) as (console, _):
            yield Whole(stream, console, wanted, Path(PICTURES or folder))


def test_operator_sees_the_bytes_and_redrives_each_once(whole: Whole, browser: Browser) -> None:
    with visit(browser, whole.console.origin, whole.pictures) as window:
        window.sign_in("operator")
        page = window.page
        page.keyboard.press("g")
        page.keyboard.press("d")
        page.get_by_role("heading", name="Dead letters").wait_for()
        expect(page.locator(".counters")).to_contain_text(f"{LETTERS} records", timeout=20_000)
        page.reload()
        page.locator("tbody tr").first.click()
        page.get_by_role("heading", name="Value (text, 1 bytes)").wait_for()
        expect(page.get_by_role("region", name="Value")).to_have_text("{")
        expect(page.locator("tbody").last).to_contain_text("dlq.payload_sha256")
        window.picture("dead-letter")
        assert window.barriers() == []
        first = page.locator("tbody input[type=checkbox]").first
        first.check()
        page.get_by_role("button", name="What would a redrive (1 marked) do?").click()
        page.get_by_text("Dry run of 1 marked, nothing is written: 1 redriven").wait_for()
        first.uncheck()
        page.get_by_role("button", name="What would a redrive do?").click()
        page.get_by_text(f"nothing is written: {LETTERS} redriven, 0 parked.").wait_for()
        page.get_by_label(f"Type {LETTERS} to redrive").fill("29")
        page.get_by_role("button", name=f"Redrive {LETTERS}").click()
        page.get_by_text(f"type the count, {LETTERS}, to redrive").wait_for()
        assert whole.stream.written(whole.stream.settings.transactions_topic) == 0
        page.get_by_label(f"Type {LETTERS} to redrive").fill(str(LETTERS))
        window.picture("redrive-confirm")
        assert window.barriers() == []
        page.get_by_role("button", name=f"Redrive {LETTERS}").click()
        page.get_by_text(f"{LETTERS} redriven, 0 parked. It has ended.").wait_for()
        page.get_by_role("button", name="What would a redrive do?").click()
        page.get_by_text("nothing is to be redriven").wait_for()
    again = whole.stream.read(whole.stream.settings.transactions_topic)
    assert ids(again) == Counter(whole.wanted)


def test_who_opened_a_dead_letter_and_who_redrove_is_in_the_audit_trail(
    whole: Whole, browser: Browser
) -> None:
    with visit(browser, whole.console.origin, whole.pictures) as window:
        window.sign_in("administrator")
        window.page.goto(f"{whole.console.origin}/administration")
        window.page.get_by_text(f"begins: all codes, {LETTERS} at most").wait_for()
        window.page.get_by_text(f"ended: {LETTERS} redriven, 0 parked").wait_for()
        opened = window.page.get_by_role("row", name="open dead letter").first
        expect(opened).to_contain_text("operator")
        expect(opened).to_contain_text("DECODE")


def test_open_dead_letter_keeps_nobody_out_on_a_phone_in_the_dark(
    whole: Whole, browser: Browser
) -> None:
    origin = whole.console.origin
    with visit(browser, origin, whole.pictures, width=390, dark=True) as window:
        window.sign_in("operator")
        window.page.goto(f"{origin}/dead-letters?open=1")
        window.page.get_by_role("heading", name="Value (text, 1 bytes)").wait_for()
        assert window.barriers() == []
        assert window.sideways() == 0
