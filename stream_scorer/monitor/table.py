"""The ledger as a faust table of one partition, whose writes are waited for."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

import faust
import msgspec
from faust.serializers.codecs import Codec
from faust.types import TP

from stream_scorer.monitor.joined import Joined
from stream_scorer.monitor.ledger import Folded, Ledger, Mark, Position, Row, Write

PLACE = 0  # the partition of our own topics
KINDS: tuple[tuple[bytes, type[Row]], ...] = (
    (b"j", Joined),
    (b"f", Folded),
    (b"m", Mark),
    (b"p", Position),
)


class RowCodec(Codec):
    """Rows as JSON, with a letter in front that says of which kind."""

    def __init__(self) -> None:
        super().__init__()
        self._letters = {kind: letter for letter, kind in KINDS}
        self._decoders = {letter: msgspec.json.Decoder(kind) for letter, kind in KINDS}

    def _dumps(self, obj: Row) -> bytes:
        return self._letters[type(obj)] + msgspec.json.encode(obj)

    def _loads(self, s: bytes) -> Row:
        return self._decoders[s[:1]].decode(s[1:])


class KeyCodec(Codec):
    """Keys of rows; an id may hold half of a surrogate pair."""

    def _dumps(self, obj: str) -> bytes:
        return obj.encode(errors="surrogatepass")

    def _loads(self, s: bytes) -> str:
        return s.decode(errors="surrogatepass")


class LedgerTable(faust.Table[str, Row]):
    """Keeps a ledger where this instance has its partition."""

    def __init__(self, app: faust.App, *, name: str, keep: int) -> None:
        """Give it the name of its changelog; the ledger is to `keep` so many transactions."""
        super().__init__(app, name=name, partitions=1)
        self.key_serializer, self.value_serializer = KeyCodec(), RowCodec()
        self.ledger: Ledger | None = None  # None: another instance has it, or it is not read yet
        self.at_work = asyncio.Lock()  # held while the ledger is used
        self._keep = keep
        self._sent: list[Awaitable[Any]] = []
        self.on_recover(self.begin)

    async def begin(self) -> None:
        """Make the ledger of what was read from the changelog.

        The flow stops here until faust has gone back to the committed offsets: it hands records out
        already, and would clear those that still wait and not hand them out again.
        """
        self.app.consumer.stop_flow()
        self.app.flow_control.suspend()
        async with self.at_work:
            if self._changelog in self.app.assignor.assigned_actives():
                self.ledger = Ledger(self._keep)
                self.ledger.load(self.data.data.items())

    async def write(self, writes: Iterable[Write]) -> None:
        """Write, in this order; return when Kafka has all of it, raise if it has not.

        faust itself does not wait, and commits what it read all the same.
        """
        self._sent.clear()
        for key, row in writes:
            if row is None:
                del self[key]
            else:
                self[key] = row
        await asyncio.gather(*self._sent)

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Forget all, so that the changelog is read from its beginning.

        faust keeps what it has and reads on where it read last: over what was written since, and
        over what another instance has deleted meanwhile.
        """
        async with self.at_work:
            self.ledger = None
            self.data.data.clear()
            self.app.tables.recovery.revoke(self._changelog)  # type: ignore[attr-defined]
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    def partition_for_key(self, key: Any) -> int:  # noqa: ANN401, ARG002 - faust's
        return PLACE

    def send_changelog(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - faust's
        """Send a write, and keep what becomes of it."""
        sent = super().send_changelog(*args, **options)
        self._sent.append(sent)
        return sent

    @property
    def _changelog(self) -> TP:
        return TP(self.changelog_topic_name, PLACE)
