"""Makes a call that may never return, and waits for it no longer than so long."""

import threading
from collections.abc import Callable


class HungError(Exception):
    """The call has not returned; its thread waits on, and what it holds must not be used again."""


def within(call: Callable[[], object], seconds: float) -> None:
    """Make the call in a thread of its own; raise what it raises, or HungError after `seconds`."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as exc:  # noqa: BLE001 - raised again where it is waited for
            raised.append(exc)

    thread = threading.Thread(target=run, name="deadline", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise HungError
    if raised:
        raise raised[0]
