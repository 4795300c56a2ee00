"""A monitor of its real parts with one replaced, which gets no further: `... stuck_monitor BUG`."""

import asyncio
import os
import sys
import time

from prometheus_client import CollectorRegistry

from stream_scorer import health
from stream_scorer.config import Settings
from stream_scorer.monitor import places, running
from stream_scorer.monitor.application import Application, Stream
from stream_scorer.monitor.board import Board

PATIENCE_S = 5.0


class AgentHangs(Application):
    """Takes a pack and never comes back."""

    async def _join(self, stream: Stream) -> None:
        async for _ in stream.noack().events():
            await asyncio.sleep(3600)


class LoopHangs(Application):
    """Holds up everything, as an endless computation does."""

    async def _join(self, stream: Stream) -> None:
        async for _ in stream.noack().events():
            time.sleep(3600)  # noqa: ASYNC251 - the bug


class AgentRaises(Application):
    """Fails on a pack."""

    async def _join(self, stream: Stream) -> None:
        async for _ in stream.noack().events():
            raise ZeroDivisionError("an agent of ours")


BUGS = {"agent-hangs": AgentHangs, "loop-hangs": LoopHangs, "agent-raises": AgentRaises}


def main() -> None:
    settings = Settings.load(environ=os.environ)
    topics = places.prepare(settings, places.topics(settings))
    vars(running)["Application"] = BUGS[sys.argv[1]]
    health.DEAD_AFTER_S = PATIENCE_S
    board = Board(CollectorRegistry(), top_k=1)
    asyncio.run(running.run(settings, topics, board, health.Health(), stall_s=PATIENCE_S))


if __name__ == "__main__":
    main()
