"""The pages in a real browser, over a real Kafka: from an alert on the topic to a label on it."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from producer.generate import generate
from stream_scorer.config import SHIPPED_MODEL
from stream_scorer.console import labels, queue
from stream_scorer.model import Model
from tests.console.browser import PICTURES, Visit, asleep, visit
from tests.console.running import Console, over
from tests.integration.stream import Stream, fresh_stream, wait_for
from tests.integration.test_stream import events
from tests.test_cli import DATA

pytestmark = pytest.mark.integration
ROWS = 3000


@dataclass
class Whole:
    """Kafka with alerts, a scorer that has scored, and the console over both."""

    stream: Stream
    labels_topic: str
    console: Console
    pictures: Path


@pytest.fixture(scope="module")
def whole(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    folder = tmp_path_factory.mktemp("pages")
    with fresh_stream(kafka, folder, partitions=2, SCORER_THRESHOLD="0.01") as stream:
        rows = np.concatenate(list(generate(ROWS, seed=17)))[:, :-1]
        scorer = stream.start()
        stream.send(events(rows))
        stream.wait_committed(ROWS)
        assert scorer.stop() == 0
        count = len(stream.alerts())
        assert count > 3
        with over(stream, folder) as (console, labels_topic):
            wait_for("every alert in the console", lambda: newest(console) >= count)
            yield Whole(stream, labels_topic, console, Path(PICTURES or folder))


def newest(console: Console) -> int:
    """Return the row of the newest alert that the console has."""
    with console.database.reading() as connection:
        return queue.newest(connection)


def first_alert(window: Visit) -> Page:
    """Sign in as an analyst, open the first alert, and return the page."""
    window.sign_in("analyst")
    window.page.goto(f"{window.origin}/alerts?state=all")
    window.page.locator("tbody tr").first.click()
    return window.page


def test_open_alert_is_verified_and_its_places_are_copied(whole: Whole, browser: Browser) -> None:
    with visit(browser, whole.console.origin, whole.pictures) as window:
        page = first_alert(window)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.get_by_text("All features (30)").click()
        page.get_by_role("columnheader", name="Nine in ten").wait_for()
        page.get_by_text("Origin", exact=True).click()
        page.get_by_role("button", name="Copy sha256").click()
        page.get_by_text("Copied: sha256.").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == Model.load(SHIPPED_MODEL).sha256
        page.get_by_role("button", name="Verify").click()
        page.get_by_text("Verified: scored again from its source record").wait_for()
        window.picture("origin")
        assert window.barriers() == []
        assert window.sideways() == 0


def test_browser_that_stands_still_for_a_while_keeps_its_page(
    whole: Whole, browser: Browser
) -> None:
    with visit(browser, whole.console.origin, whole.pictures) as window:
        page = first_alert(window)
        page.get_by_label("Note (n").fill("half a thought")
        with asleep():
            time.sleep(12)
        page.get_by_role("button", name="Keys (?)").click()
        page.get_by_text("Keys, while no field has the focus").wait_for()
        expect(page.get_by_label("Note (n")).to_have_value("half a thought")


def test_alert_that_was_clicked_last_is_the_one_that_opens(whole: Whole, browser: Browser) -> None:
    with visit(browser, whole.console.origin, whole.pictures) as window:
        window.sign_in("analyst")
        page = window.page
        page.goto(f"{whole.console.origin}/alerts?state=all")
        window.ready()
        rows = page.locator("tbody tr")
        rows.nth(3).wait_for()
        for last in (3, 0, 2):
            page.evaluate(
                """last => { for (const each of [1, 0, 3, 2, last])
                    document.querySelectorAll("tbody tr")[each].click() }""",
                last,
            )
            expect(rows.nth(last)).to_have_class(re.compile("opened"))
            name = rows.nth(last).locator("td").nth(4).inner_text()
            expect(page.get_by_role("heading", name="Transaction ")).to_contain_text(name)


def test_unfolded_part_stays_so_in_the_next_alert(whole: Whole, browser: Browser) -> None:
    with visit(browser, whole.console.origin, whole.pictures) as window:
        page = first_alert(window)
        title = page.get_by_role("heading", name="Transaction ")
        first = title.inner_text()
        page.get_by_text("Origin", exact=True).click()
        page.get_by_role("button", name="Copy sha256").wait_for()
        page.keyboard.press("j")
        expect(title).not_to_have_text(first)
        page.get_by_role("button", name="Copy sha256").wait_for()
        page.get_by_text("Origin", exact=True).click()
        expect(page.get_by_role("button", name="Copy sha256")).to_be_hidden()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("place", ["live", "alerts", "upload", "administration"])
def test_page_keeps_nobody_out_and_never_scrolls_sideways(
    whole: Whole, browser: Browser, place: str, width: int, *, dark: bool
) -> None:
    with visit(browser, whole.console.origin, whole.pictures, width=width, dark=dark) as window:
        window.sign_in("administrator")
        window.page.goto(f"{whole.console.origin}/{place}")
        expect(window.page.get_by_role("heading", level=1)).to_have_count(1)
        if place == "alerts":
            window.page.locator("tbody tr").first.click()
            window.page.get_by_role("heading", name="Why").wait_for()
        window.picture(f"{place}-{width}-{'dark' if dark else 'light'}")
        assert window.barriers() == []
        assert window.sideways() == 0


@pytest.mark.parametrize("place", ["sign-in", "sign-up"])
def test_forms_keep_nobody_out(whole: Whole, browser: Browser, place: str) -> None:
    for width, dark in ((1280, False), (390, True)):
        with visit(browser, whole.console.origin, whole.pictures, width=width, dark=dark) as window:
            window.page.goto(f"{whole.console.origin}/{place}")
            assert window.barriers() == []
            assert window.sideways() == 0


def test_whole_labelling_goes_by_keyboard_and_reaches_kafka(whole: Whole, browser: Browser) -> None:
    with visit(browser, whole.console.origin, whole.pictures) as window:
        window.sign_in("analyst")
        page = window.page
        page.keyboard.press("g")
        page.keyboard.press("a")
        page.get_by_role("heading", name="Alerts", exact=True).wait_for()
        page.locator("tbody tr").first.wait_for()
        page.keyboard.press("j")
        first = page.get_by_role("heading", level=2).first.inner_text()
        window.settled()
        page.keyboard.press("1")
        page.get_by_text("Labelled fraud. Undo: z.").wait_for()
        expect(page.get_by_role("heading", level=2).first).not_to_have_text(first)
    key = first.removeprefix("Transaction ").encode()
    wait_for("the label", lambda: key in labelled(whole))
    label = json.loads(labelled(whole)[key])
    assert (label["label"], label["verdict"], label["actor"]) == (1, "fraud", "analyst")
    with whole.console.database.reading() as connection:
        (said,) = labels.history(connection, label["alert_id"])
    assert (said.verdict, said.actor) == ("fraud", "analyst")


def test_marked_alerts_are_labelled_together_by_their_count(whole: Whole, browser: Browser) -> None:
    with visit(browser, whole.console.origin, whole.pictures) as window:
        window.sign_in("analyst")
        page = window.page
        page.goto(f"{whole.console.origin}/alerts?order=newest")
        page.locator("tbody tr").first.wait_for()
        window.ready()
        before = len(labelled(whole))
        boxes = page.locator("tbody input[type=checkbox]")
        boxes.nth(1).check()
        page.get_by_text("1 alert marked").wait_for()
        boxes.nth(1).uncheck()
        expect(page.get_by_text("1 alert marked")).to_have_count(0)
        for key in ("j", "x", "j", "j", "X"):
            page.keyboard.press(key)
            page.wait_for_timeout(300)
        page.get_by_text("3 alerts marked").wait_for()
        expect(page.locator("tbody input:checked")).to_have_count(3)
        window.picture("marked")
        assert window.barriers() == []
        page.get_by_role("button", name="Genuine: 3").click()
        page.get_by_text("3 alerts labelled genuine.").wait_for()
        wait_for("the labels", lambda: len(labelled(whole)) == before + 3)


def labelled(whole: Whole) -> dict[bytes | None, bytes]:
    """Return the newest label of each transaction on the topic."""
    found = whole.stream.read(whole.labels_topic)
    return {each.key(): each.value() or b"" for each in found}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_queue_is_filtered_and_its_address_shows_the_same(
    whole: Whole, browser: Browser, *, dark: bool
) -> None:
    with visit(browser, whole.console.origin, whole.pictures, dark=dark) as window:
        window.sign_in("viewer")
        page = window.page
        page.goto(f"{whole.console.origin}/alerts?state=all")
        page.locator("tbody tr").first.wait_for()
        window.ready()
        every = page.locator("tbody tr").count()
        page.get_by_text("More filters").click()
        page.get_by_label("Risk from").fill("0.5")
        assert window.barriers() == []
        page.keyboard.press("Tab")
        page.wait_for_url("**least_risk=0.5**")
        expect(page.locator("tbody tr")).not_to_have_count(every)
        risks = page.locator("tbody tr td:first-child").all_inner_texts()
        assert risks
        assert all(float(risk) >= 0.5 for risk in risks)
        window.picture("filters")
        assert window.barriers() == []
        page.reload()
        expect(page.locator("tbody tr")).to_have_count(len(risks))
        page.get_by_label("Risk from").wait_for(state="attached")
        page.keyboard.press("?")
        page.get_by_text("the first that nobody else looks at").wait_for()


def test_who_was_slower_is_told_who_was_faster(whole: Whole, browser: Browser) -> None:
    origin = whole.console.origin
    with (
        visit(browser, origin, whole.pictures) as ana,
        visit(browser, origin, whole.pictures) as ben,
    ):
        ana.sign_in("analyst")
        ben.sign_in("operator")
        for window in (ana, ben):
            window.page.goto(f"{origin}/alerts?order=newest")
            window.page.locator("tbody tr").first.click()
            window.page.get_by_role("heading", name="Why").wait_for()
        ben.page.get_by_text("Also looked at by analyst").wait_for()
        for window in (ana, ben):
            window.settled()
        ana.page.keyboard.press("2")
        ana.page.get_by_text("Labelled genuine").wait_for()
        ben.page.keyboard.press("1")
        ben.page.get_by_text("analyst labelled this genuine").wait_for()
        ben.settled()
        ben.page.keyboard.press("1")
        ben.page.get_by_text("Labelled fraud. Undo: z.").wait_for()


def test_who_signs_up_waits_for_approval_and_then_gets_in(whole: Whole, browser: Browser) -> None:
    origin = whole.console.origin
    with (
        visit(browser, origin, whole.pictures) as newcomer,
        visit(browser, origin, whole.pictures) as boss,
    ):
        page = newcomer.page
        page.goto(f"{origin}/sign-up")
        page.get_by_label("Name").fill("<b>Nina</b>")
        page.get_by_label("Password").fill("correct horse battery")
        page.get_by_role("button", name="Sign up").click()
        page.get_by_text("waits for approval").wait_for()
        boss.sign_in("administrator")
        boss.page.goto(f"{origin}/administration")
        boss.page.get_by_text("<b>nina</b>", exact=True).first.wait_for()
        boss.picture("approval")
        boss.page.get_by_role("button", name="Approve").click()
        boss.page.get_by_text("<b>nina</b> is viewer, active").wait_for()
        newcomer.sign_in("<b>Nina</b>")
        page.goto(f"{origin}/alerts")
        page.locator("tbody tr").first.click()
        page.get_by_role("heading", name="Why").wait_for()
        expect(page.get_by_role("button", name="Fraud")).to_have_count(0)
        page.keyboard.press("1")
        page.get_by_text("this wants the role analyst").wait_for()


def test_page_of_an_ended_session_does_nothing_more(whole: Whole, browser: Browser) -> None:
    origin = whole.console.origin
    with (
        visit(browser, origin, whole.pictures) as victim,
        visit(browser, origin, whole.pictures) as boss,
    ):
        victim.sign_in("analyst")
        page = victim.page
        page.goto(f"{origin}/alerts?order=amount")
        page.locator("tbody tr").first.click()
        page.get_by_role("heading", name="Why").wait_for()
        boss.sign_in("administrator")
        boss.page.goto(f"{origin}/administration")
        row = boss.page.locator("li", has=boss.page.get_by_text("analyst", exact=True))
        row.get_by_text("session").first.click()
        boss.picture("sessions")
        assert boss.barriers() == []
        row.get_by_role("button", name="Sign out everywhere").click()
        boss.page.get_by_text("The sessions of analyst have ended").wait_for()
        before = labelled(whole)
        page.keyboard.press("1")
        page.reload()
        page.get_by_role("heading", name="Sign in").wait_for()
        assert labelled(whole) == before


def test_times_are_the_readers_own_and_utc_on_hover(whole: Whole, browser: Browser) -> None:
    origin = whole.console.origin
    with visit(browser, origin, whole.pictures, zone="Asia/Kolkata") as window:
        window.sign_in("administrator")
        window.page.goto(f"{origin}/administration")
        row = window.page.get_by_role("row", name="sign in").first
        when = row.get_by_title(re.compile(" UTC$"))
        told = when.get_attribute("title") or ""
        moment = datetime.strptime(told, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
        here = moment.astimezone(ZoneInfo("Asia/Kolkata"))
        expect(when).to_contain_text(f"{here:%Y-%m-%d %H:%M:%S} GMT+5:30")
        assert window.barriers() == []


def test_one_session_is_ended_and_the_persons_other_one_stays(
    whole: Whole, browser: Browser
) -> None:
    origin = whole.console.origin
    with (
        visit(browser, origin, whole.pictures) as stays,
        visit(browser, origin, whole.pictures) as goes,
        visit(browser, origin, whole.pictures) as boss,
    ):
        stays.sign_in("viewer")
        goes.sign_in("viewer")
        boss.sign_in("administrator")
        boss.page.goto(f"{origin}/administration")
        name = boss.page.locator("strong").get_by_text("viewer", exact=True)
        row = boss.page.locator("li", has=name)
        row.get_by_text("session").first.click()
        row.get_by_role("button", name="Sign out", exact=True).first.click()
        boss.page.get_by_text("A session of viewer has ended.").wait_for()
        boss.page.get_by_text("viewer, from 127.0.0.1").wait_for()
        goes.page.reload()
        goes.page.get_by_role("heading", name="Sign in").wait_for()
        stays.page.reload()
        stays.page.get_by_role("heading", name="Live").first.wait_for()


def test_uploaded_file_shows_its_counts_and_its_riskiest_rows(
    whole: Whole, browser: Browser, tmp_path: Path
) -> None:
    with Path(DATA).open("rb") as file:
        lines = [line for line, _ in zip(file, range(501), strict=False)]
    lines[3] = b"not,enough,cells\n"
    (tmp_path / "<b>some.csv").write_bytes(b"".join(lines))
    with visit(browser, whole.console.origin, whole.pictures) as window:
        window.sign_in("analyst")
        page = window.page
        page.get_by_role("link", name="Upload").click()
        page.get_by_label("File").set_input_files(tmp_path / "<b>some.csv")
        page.get_by_role("button", name="Score").click()
        page.get_by_role("heading", name="<b>some.csv").wait_for()
        expect(page.locator(".counters dd").nth(0)).to_have_text("2")
        expect(page.locator(".counters dd").nth(2)).to_have_text("497")
        expect(page.locator(".counters dd").nth(4)).to_have_text("1")
        page.get_by_text("3 fields, want").first.wait_for()
        expect(page.locator(".rows tbody tr").first).to_contain_text("fraud")
        window.picture("upload-done")
        assert window.barriers() == []
        with page.expect_download() as download:
            page.get_by_role("link", name="Download CSV").click()
        assert download.value.suggested_filename == "_b_some-scored.csv"  # chromium's own care
        page.get_by_role("button", name="Delete").click()
        page.get_by_text("Deleted, with all its rows.").wait_for()
        page.get_by_text("None yet.").wait_for()
