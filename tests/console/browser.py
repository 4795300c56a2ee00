"""Debian's chromium, driven as a person would."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.console.running import PASSWORD
from tests.usage import processes

CHROMIUM = "/usr/bin/chromium"
# A label that is between two colours has a contrast that nobody reads.
SETTLED = """() => document.getAnimations().every(
    each => each.playState !== "running" || !(each instanceof CSSTransition)
)"""
HEARING = """() => [...document.querySelectorAll(".verdicts")].every(
    each => !each.getAnimations().length
)"""
# Where pictures are kept as a test's output; empty: beside its other files.
PICTURES = os.environ.get("TEST_PICTURES", "")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser; there must be one."""
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Visit:
    """One person's window: what it asks for, and what goes wrong in it."""

    page: Page
    origin: str
    pictures: Path
    hosts: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def sign_in(self, name: str) -> None:
        """Sign in by the form."""
        self.page.goto(f"{self.origin}/live")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", name="Live").first.wait_for()
        self.ready()

    def ready(self) -> None:
        """Wait until the page's socket is open: keys before that are nobody's."""
        self.page.wait_for_function("window.socket && window.socket.connected")

    def settled(self) -> None:
        """Wait until the verdict buttons hear: what was just drawn does not take a double press."""
        self.page.wait_for_function(HEARING)

    def picture(self, name: str) -> None:
        """Keep what the window shows as a test's output."""
        self.page.screenshot(path=self.pictures / f"{name}.png")

    def barriers(self) -> list[str]:
        """Return what keeps somebody out, by axe-core's rules, once no colour moves any more."""
        self.page.wait_for_function(SETTLED)
        found = Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]

    def sideways(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        wide = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return int(wide)


@contextmanager
def asleep() -> Iterator[None]:
    """Let the browsers of this process stand still until the block ends."""
    found = [
        each
        for each in processes(os.getpid())
        if "chrom" in Path(f"/proc/{each}/exe").readlink().name
    ]
    assert found
    try:
        for each in found:
            os.kill(each, signal.SIGSTOP)
        yield
    finally:
        for each in found:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)


@contextmanager
def visit(
    browser: Browser,
    origin: str,
    pictures: Path,
    *,
    width: int = 1280,
    dark: bool = False,
    zone: str = "UTC",
) -> Iterator[Visit]:
    """Open a window of its own, without cookies; nothing may go wrong in it."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        timezone_id=zone,
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    found = Visit(page, origin, pictures)
    page.on("request", lambda request: found.hosts.add(request.url.split("/")[2]))
    page.on("pageerror", lambda error: found.wrong.append(str(error)))
    page.on(
        "console",
        lambda line: found.wrong.append(line.text) if line.type == "error" else None,
    )
    yield found
    context.close()
    assert found.hosts <= {origin.split("/")[2]}, found.hosts
    assert not found.wrong, found.wrong
