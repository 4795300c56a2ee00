"""What a browser keeps for the console: no script of a page, and no other site, gets at it."""

from dataclasses import dataclass
from typing import TypeVar

from starlette.responses import Response

Answer = TypeVar("Answer", bound=Response)


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie, by its name."""

    name: str
    secure: bool  # over TLS alone

    def give(self, answer: Answer, value: str, *, ms: int) -> Answer:
        """Let an answer give the browser a value to keep for so long."""
        answer.set_cookie(
            self.name,
            value,
            max_age=ms // 1000,
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )
        return answer

    def take(self, answer: Answer) -> Answer:
        """Let an answer make the browser forget it."""
        answer.delete_cookie(self.name, secure=self.secure, httponly=True, samesite="lax")
        return answer
