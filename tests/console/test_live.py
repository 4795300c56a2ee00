"""Live in a real browser: alerts come by themselves, but not under the pointer. No Kafka."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from stream_scorer.console.people import Role
from tests.console.browser import visit
from tests.console.running import running
from tests.console.test_flow import alert, alerts, store

pytestmark = pytest.mark.integration


def test_new_alert_shows_by_itself_but_waits_while_the_pointer_is_on_the_list(
    browser: Browser, tmp_path: Path
) -> None:
    with running(tmp_path, f"sqlite:///{tmp_path}/console.db") as console:
        console.add("ana", Role.VIEWER)
        with visit(browser, console.origin, tmp_path) as window:
            window.sign_in("ana")
            page, rows = window.page, window.page.locator(".newest tbody tr")
            store(console.database, *alerts(alert(1)))
            expect(rows).to_have_count(1)
            page.locator(".newest").hover()
            page.wait_for_timeout(500)
            store(console.database, *alerts(alert(2), alert(3)))
            page.get_by_text("2 new, waiting").wait_for()
            expect(rows).to_have_count(1)
            page.mouse.move(0, 0)
            expect(rows).to_have_count(3)
            page.keyboard.press("p")
            page.wait_for_timeout(500)
            store(console.database, *alerts(alert(4)))
            page.get_by_text("1 new, waiting").wait_for()
            page.keyboard.press("p")
            expect(rows).to_have_count(4)
