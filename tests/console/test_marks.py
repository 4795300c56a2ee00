"""The queue by keyboard and box: marks, notes, what has come since. No Kafka, so labels wait."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from stream_scorer.console import labels, queue, schema
from stream_scorer.console.people import Role
from tests.console.browser import Visit, visit
from tests.console.running import NO_KAFKA, Console, running
from tests.console.test_flow import BEN, SETTINGS, alert, alerts, mark, record, states, store

pytestmark = pytest.mark.integration
ALERTS = 60


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    settings = {"SCORER_KAFKA_BOOTSTRAP_SERVERS": NO_KAFKA}
    with running(tmp_path, f"sqlite:///{tmp_path}/console.db", settings) as each:
        for role in Role:
            each.add(role.word, role)
        store(each.database, *alerts(*(alert(n) for n in range(ALERTS))))
        yield each


def shown(window: Visit, title: str) -> None:
    """Wait until an alert is drawn, and hears."""
    window.page.get_by_role("heading", name=title).wait_for()
    window.settled()


@contextmanager
def first_open(
    console: Console, browser: Browser, folder: Path, query: str = "?order=newest"
) -> Iterator[Visit]:
    """Give an analyst's window with the first alert open, by its key."""
    with visit(browser, console.origin, folder) as window:
        window.sign_in("analyst")
        window.page.goto(f"{window.origin}/alerts{query}")
        window.page.locator("tbody tr").first.wait_for()
        window.ready()
        window.page.keyboard.press("j")
        shown(window, "Transaction t59")
        yield window


def label_first(window: Visit) -> None:
    """Label the first alert a fraud; the second one is open then."""
    window.page.keyboard.press("1")
    shown(window, "Transaction t58")


def test_all_that_match_are_labelled_once_their_count_is_typed(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with visit(browser, console.origin, tmp_path) as window:
        window.sign_in("analyst")
        page = window.page
        page.goto(f"{console.origin}/alerts")
        page.locator("tbody tr").first.wait_for()
        window.ready()
        page.get_by_label("Mark t59").check()
        page.get_by_role("button", name=f"All {ALERTS} alerts that match").click()
        page.get_by_text(f"{ALERTS} alerts marked").wait_for()
        page.get_by_role("button", name=f"Fraud: {ALERTS}").click()
        page.get_by_text(f"Type the count, {ALERTS}, to label them.").wait_for()
        assert {state for state, _ in states(console.database).values()} == {"open"}
        page.get_by_label(f"Type {ALERTS} to label").fill(str(ALERTS))
        assert window.barriers() == []
        mark(console.database, BEN, "genuine", 0, "a7")
        page.get_by_role("button", name=f"Fraud: {ALERTS}").click()
        page.get_by_text(f"{ALERTS - 1} alerts labelled fraud. 1 left: somebody else").wait_for()
        page.get_by_text("0 alerts").wait_for()
    found = states(console.database)
    assert found.pop("a7") == ("genuine", 1)
    assert {state for state, _ in found.values()} == {"fraud"}


def test_viewer_has_no_boxes_and_marks_go_with_the_filter(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with visit(browser, console.origin, tmp_path) as window:
        window.sign_in("viewer")
        page = window.page
        page.goto(f"{console.origin}/alerts")
        page.locator("tbody tr").first.click()
        expect(page.locator("tbody input")).to_have_count(0)
        page.keyboard.press("x")
        expect(page.get_by_text("1 alert marked")).to_have_count(0)
    with visit(browser, console.origin, tmp_path) as window:
        window.sign_in("analyst")
        page = window.page
        page.goto(f"{console.origin}/alerts")
        page.locator("tbody input").first.check()
        page.get_by_text("1 alert marked").wait_for()
        page.get_by_role("button", name="Next page").click()
        expect(page.get_by_text("1 alert marked")).to_have_count(0)
        expect(page.locator("tbody input:checked")).to_have_count(0)
        expect(page.locator("tbody tr")).to_have_count(ALERTS - queue.ROWS)
        page.reload()
        expect(page.locator("tbody tr")).to_have_count(ALERTS - queue.ROWS)
        expect(page).to_have_title(f"Alerts ({ALERTS} alerts) - stream-scorer")


def test_note_is_kept_with_a_label_that_a_key_gives(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with first_open(console, browser, tmp_path) as window:
        page = window.page
        page.keyboard.press("n")
        page.keyboard.type("cardholder called: 1 of 2")
        page.keyboard.press("Escape")
        page.keyboard.press("1")
        page.get_by_text("Labelled fraud. Undo: z.").wait_for()
        shown(window, "Transaction t58")
        assert page.get_by_label("Note").input_value() == ""
    with console.database.reading() as connection:
        (said,) = labels.history(connection, "a59")
    assert (said.verdict, said.note) == ("fraud", "cardholder called: 1 of 2")


def test_new_alerts_are_told_and_come_into_the_queue_when_asked_for(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with visit(browser, console.origin, tmp_path) as window:
        window.sign_in("viewer")
        page = window.page
        page.goto(f"{console.origin}/alerts?order=newest")
        first = page.locator("tbody tr").first
        expect(first).to_contain_text("t59")
        page.wait_for_timeout(1000)  # the console's own look at how many there are
        store(console.database, record(SETTINGS.alerts_topic, 99, alert(99, probability=0.99)))
        page.get_by_text("1 new alert, show (r)").wait_for()
        expect(first).to_contain_text("t59")
        page.keyboard.press("r")
        expect(page.get_by_text("1 new alert, show (r)")).to_be_hidden()
        expect(page.locator("tbody tr", has_text="t99")).to_have_count(1)


def labelled(console: Console) -> dict[str, str]:
    """Return the states of those alerts that are not open."""
    found = states(console.database).items()
    return {alert_id: state for alert_id, (state, _) in found if state != "open"}


def test_alerts_are_labelled_one_after_the_other_by_keys_alone(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with first_open(console, browser, tmp_path) as window:
        page = window.page
        for number, key in zip(range(58, 53, -1), "12312", strict=True):
            page.keyboard.press(key)
            shown(window, f"Transaction t{number}")
    assert labelled(console) == {
        "a59": "fraud",
        "a58": "genuine",
        "a57": "unsure",
        "a56": "fraud",
        "a55": "genuine",
    }


def test_keys_that_come_twice_or_are_held_label_the_alert_that_is_seen_and_no_other(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with first_open(console, browser, tmp_path) as window:
        page = window.page
        os.kill(console.process.pid, signal.SIGSTOP)
        try:
            for key in "112":  # a page that does not answer is told again, and again
                page.keyboard.press(key)
        finally:
            os.kill(console.process.pid, signal.SIGCONT)
        shown(window, "Transaction t58")
        for _ in range(9):
            page.keyboard.down("2")
            page.wait_for_timeout(60)
        page.keyboard.up("2")
        shown(window, "Transaction t57")
        page.wait_for_timeout(500)
    assert labelled(console) == {"a59": "fraud", "a58": "genuine"}


def test_key_after_one_that_opens_another_alert_is_of_the_one_that_is_still_seen(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with first_open(console, browser, tmp_path) as window:
        page = window.page
        os.kill(console.process.pid, signal.SIGSTOP)
        try:
            for key in "jj1":
                page.keyboard.press(key)
        finally:
            os.kill(console.process.pid, signal.SIGCONT)
        shown(window, "Transaction t57")
        page.wait_for_timeout(500)
    # Or nothing, where the alert that was seen is no longer drawn when the key comes.
    assert labelled(console) in ({"a59": "fraud"}, {})


# Presses what is under the pointer, and then by key, in the moment when the next alert is drawn.
DOUBLE = """async ({x, y}) => {
    const title = () => document.querySelector(".one h2").textContent;
    const first = title();
    document.elementFromPoint(x, y).click();
    while (title() === first) await new Promise(requestAnimationFrame);
    const under = document.elementFromPoint(x, y);
    document.querySelector('[data-press="1"]').click();
    return under.closest("[data-press]") === null;
}"""


def test_second_half_of_a_double_press_is_not_for_the_next_alert(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with first_open(console, browser, tmp_path) as window:
        page = window.page
        box = page.get_by_role("button", name="Fraud (1)").bounding_box()
        assert box is not None
        where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        assert page.evaluate(DOUBLE, where)
        shown(window, "Transaction t58")
        assert labelled(console) == {"a59": "fraud"}
        page.get_by_role("button", name="Fraud (1)").click()
        shown(window, "Transaction t57")
    assert labelled(console) == {"a59": "fraud", "a58": "fraud"}


def test_undo_that_is_not_possible_leaves_open_what_is_shown(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with first_open(console, browser, tmp_path) as window:
        page = window.page
        label_first(window)
        with console.database.writing() as connection:
            labels.undo(connection, BEN, alert_id="a59", version=1, now=6000)
        page.keyboard.press("z")
        page.get_by_text("there is nothing to undo").wait_for()
        page.keyboard.press("2")
        shown(window, "Transaction t57")
    assert labelled(console) == {"a58": "genuine"}


def test_undo_never_takes_back_what_a_colleague_has_said_since(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with first_open(console, browser, tmp_path) as window:
        page = window.page
        label_first(window)
        mark(console.database, BEN, "genuine", 1, "a59")
        page.keyboard.press("z")
        page.get_by_text("ben labelled this genuine").wait_for()
        shown(window, "Transaction t59")
    assert labelled(console) == {"a59": "genuine"}


def test_undo_that_the_database_did_not_take_is_tried_again_on_the_same_alert(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    mark(console.database, BEN, "genuine", 0, "a58")
    with first_open(console, browser, tmp_path, "?order=newest&state=all") as window:
        page = window.page
        label_first(window)
        with console.database.writing():
            page.keyboard.press("z")
            page.get_by_text("The database does not answer: nothing is saved.").wait_for()
        page.keyboard.press("z")
        page.get_by_text("Undone.").wait_for()
        shown(window, "Transaction t59")
    assert labelled(console) == {"a58": "genuine"}


def test_keys_are_not_heard_behind_the_list_of_keys(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with first_open(console, browser, tmp_path) as window:
        page = window.page
        page.keyboard.press("?")
        page.get_by_text("the first that nobody else looks at").wait_for()
        for key in "1jx":
            page.keyboard.press(key)
        page.keyboard.press("Escape")
        page.get_by_text("the first that nobody else looks at").wait_for(state="hidden")
        page.keyboard.press("2")
        shown(window, "Transaction t58")
        expect(page.locator("tbody input:checked")).to_have_count(0)
    assert labelled(console) == {"a59": "genuine"}


def test_undo_after_several_were_labelled_together_is_of_none_before(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with first_open(console, browser, tmp_path) as window:
        page = window.page
        label_first(window)
        page.get_by_label("Mark t58").check()
        page.get_by_role("button", name="Genuine: 1").click()
        page.get_by_text("1 alert labelled genuine.").wait_for()
        page.keyboard.press("z")
        page.get_by_text("Open an alert first: j.").wait_for()
    assert labelled(console) == {"a59": "fraud", "a58": "genuine"}


def test_note_stays_with_the_alert_that_it_was_written_to(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with first_open(console, browser, tmp_path) as window:
        page = window.page
        note = page.get_by_label("Note")
        note.fill("called twice")
        page.get_by_role("button", name="Assign to me").click()
        page.get_by_text("It is open, assigned to analyst.").wait_for()
        expect(note).to_have_value("called twice")
        mark(console.database, BEN, "genuine", 0, "a59")
        page.get_by_role("button", name="Fraud (1)").click()
        page.get_by_text("ben labelled this genuine").wait_for()
        expect(note).to_have_value("called twice")
        page.get_by_role("button", name="Fraud (1)").blur()
        page.keyboard.press("j")
        shown(window, "Transaction t58")
        expect(note).to_have_value("")
        page.keyboard.press("k")
        shown(window, "Transaction t59")
        expect(note).to_have_value("called twice")
        page.keyboard.press("n")
        page.keyboard.type(", and once more")
        page.keyboard.press("Escape")
        page.keyboard.press("1")
        page.keyboard.press("n")
        page.keyboard.type("another")
        shown(window, "Transaction t58")
        expect(note).to_have_value("another")
        page.keyboard.press("Escape")
    with console.database.reading() as connection:
        said = labels.history(connection, "a59")[0]
    assert (said.verdict, said.note) == ("fraud", "called twice, and once more")


def test_what_is_typed_into_a_note_that_was_clicked_never_labels_though_kafka_takes_a_label(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    mark(console.database, BEN, "unsure", 0, "a59")
    with first_open(console, browser, tmp_path, "?order=newest&state=all") as window:
        page = window.page
        page.get_by_text("saved, waiting for Kafka").wait_for()
        page.get_by_label("Note").click()
        with console.database.writing() as connection:
            connection.execute(schema.outbox.update().values(sent_at=6000))
        page.get_by_text("(sent to Kafka)").wait_for()
        page.keyboard.type("2 of 3 calls")
        expect(page.get_by_label("Note")).to_have_value("2 of 3 calls")
    assert labelled(console) == {"a59": "unsure"}


def test_database_that_does_not_answer_is_told_and_nothing_is_labelled(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with first_open(console, browser, tmp_path) as window:
        page = window.page
        with console.database.writing():
            page.keyboard.press("1")
            page.get_by_text("The database does not answer: nothing is saved.").wait_for()
        shown(window, "Transaction t59")
        assert labelled(console) == {}
        label_first(window)
    assert labelled(console) == {"a59": "fraud"}


@pytest.mark.parametrize("width", [1280, 390])
def test_long_transaction_id_does_not_make_the_page_wider(
    console: Console, browser: Browser, tmp_path: Path, width: int
) -> None:
    store(console.database, record(SETTINGS.alerts_topic, 99, alert(99, transaction="t" * 200)))
    with visit(browser, console.origin, tmp_path, width=width) as window:
        window.sign_in("analyst")
        page = window.page
        page.goto(f"{console.origin}/alerts?open=a99")
        shown(window, "Transaction ttt")
        assert window.sideways() == 0


def test_what_is_typed_into_a_note_never_labels_though_the_page_draws_it_anew(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with first_open(console, browser, tmp_path) as window:
        page = window.page
        page.keyboard.press("1")
        page.keyboard.press("n")
        page.keyboard.type("called 1234 at 22 x33", delay=40)
        shown(window, "Transaction t58")
        expect(page.get_by_label("Note")).to_have_value("called 1234 at 22 x33")
        page.keyboard.press("Escape")
        page.keyboard.press("2")
        shown(window, "Transaction t57")
    assert labelled(console) == {"a59": "fraud", "a58": "genuine"}
    with console.database.reading() as connection:
        (said,) = labels.history(connection, "a58")
    assert said.note == "called 1234 at 22 x33"


def test_undo_takes_back_the_label_that_was_just_given(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    mark(console.database, BEN, "genuine", 0, "a58")
    with first_open(console, browser, tmp_path, "?order=newest&state=all") as window:
        page = window.page
        label_first(window)
        page.keyboard.press("z")
        page.get_by_text("Undone.").wait_for()
        shown(window, "Transaction t59")
    found = states(console.database)
    assert (found["a59"][0], found["a58"][0]) == ("open", "genuine")


def test_box_that_is_unticked_leaves_all_the_others_marked(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with visit(browser, console.origin, tmp_path) as window:
        window.sign_in("analyst")
        page = window.page
        page.goto(f"{console.origin}/alerts")
        page.get_by_label("Mark t59").check()
        page.get_by_role("button", name=f"All {ALERTS} alerts that match").click()
        page.get_by_text(f"{ALERTS} alerts marked").wait_for()
        page.get_by_label("Mark t58").uncheck()
        page.get_by_text(f"{ALERTS - 1} alerts marked").wait_for()


def test_page_of_a_session_that_has_ended_is_sent_to_the_sign_in_and_gets_nothing_more(
    console: Console, browser: Browser, tmp_path: Path
) -> None:
    with visit(browser, console.origin, tmp_path) as window:
        window.sign_in("viewer")
        with console.database.writing() as connection:
            connection.execute(schema.session.delete())
        window.page.get_by_role("heading", name="Sign in").wait_for()
