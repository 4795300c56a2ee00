"""Which lines of the client's log tell of a connection on which a request may be under way."""

import logging

import pytest

from stream_scorer.client_log import ClientLog

TEXT = "%s [%s] %s"
CLIENT = "rdkafka#producer-1"
# As librdkafka 2.16 writes them.
BROKE = "[thrd:b:1/1]: b:1/1: Disconnected: connection closed by peer (after 9ms in state UP)"
REPEATED = f"{BROKE} (_TRANSPORT): identical to last error: error log suppressed"
MOVED = "[thrd:TxnCoordinator]: TxnCoordinator/1: Closing connection due to nodename change (after"


@pytest.mark.parametrize(
    ("kind", "line", "count"),
    [
        ("FAIL", BROKE, 1),
        ("FAIL", REPEATED, 1),
        ("FAIL", f"{MOVED} 9ms in state UP) (_TRANSPORT)", 1),
        ("FAIL", "a line of a later librdkafka", 1),
        ("FAIL", f"{MOVED} 58ms in state TRY_CONNECT) (_TRANSPORT)", 0),
        ("FAIL", "b:1/bootstrap: Connect to ipv4#b:1 failed (after 0ms in state CONNECT)", 0),
        ("FAIL", "b:1/bootstrap: Decommissioning this broker (after 2ms in state UP)", 0),
        ("STATE", "b:1/1: Broker changed state INIT -> TRY_CONNECT", 0),
    ],
)
def test_connection_that_broke_is_counted_if_a_request_may_be_under_way(
    kind: str, line: str, count: int
) -> None:
    taken = ClientLog()
    taken.log(logging.DEBUG, TEXT, kind, CLIENT, line)
    assert taken.broken == count


def test_log_that_a_person_wants_goes_on_to_the_log_of_the_process(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for level in (logging.DEBUG, logging.INFO):
        ClientLog(shown=logging.INFO).log(level, TEXT, "FAIL", CLIENT, BROKE)
    ClientLog().log(logging.WARNING, TEXT, "FAIL", CLIENT, BROKE)
    assert caplog.messages == [f"FAIL [{CLIENT}] {BROKE}"]
