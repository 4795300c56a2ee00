"""Importing the libraries of an extra: by the commands that need them, and by no other."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from stream_scorer.errors import ScorerError


@contextmanager
def extra(name: str, libraries: Collection[str], *, what: str) -> Iterator[None]:
    """Import inside of this; raise ScorerError with what to install if a library is not there.

    `what` needs the extra `name`; a module that is none of its `libraries` is a defect of ours.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] not in libraries:
            raise
        raise ScorerError(f"{what} needs the extra: pip install 'stream-scorer[{name}]'") from exc
