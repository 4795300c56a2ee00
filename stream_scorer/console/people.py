"""Roles, and who is signed in."""

from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """What a person may do; each may do what those before it may."""

    VIEWER = 1  # look: live, alerts, model, quality
    ANALYST = 2  # label, upload, what-if
    OPERATOR = 3  # dead letters, redrive
    ADMINISTRATOR = 4  # accounts, sessions, audit

    @property
    def word(self) -> str:
        """Return the name as it is shown and stored."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Role":
        """Return the role of a word; raise ValueError if there is none."""
        try:
            return cls[word.upper()]
        except KeyError:
            raise ValueError(
                f"role {word!r}: want {', '.join(each.word for each in cls)}"
            ) from None


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in, by a session."""

    user_id: int
    name: str
    role: Role
    session_id: str  # sha256 of the cookie's value: no secret
    form_token: str
    address: str
    used_at: int  # milliseconds since 1970, when a person's action was last noted

    def may(self, role: Role) -> bool:
        """Tell whether this person has at least a role."""
        return self.role >= role
