"""Which path wants which role, and by which address browsers reach the console."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from stream_scorer.config import Settings
from stream_scorer.console.people import Role

# Paths that are open to anybody.
OPEN = frozenset(
    {"/sign-in", "/sign-in/oidc", "/sign-in/oidc/back", "/sign-up", "/favicon.ico", "/healthz"}
)
STATIC = "/static/"
# Everything else wants a role, by the first part of its path; what is not here does not exist.
ROLES = {
    "": Role.VIEWER,
    "sign-out": Role.VIEWER,
    "live": Role.VIEWER,
    "alerts": Role.VIEWER,
    "model": Role.VIEWER,
    "quality": Role.VIEWER,
    "upload": Role.ANALYST,
    "dead-letters": Role.OPERATOR,
    "administration": Role.ADMINISTRATOR,
}


def wanted(path: str) -> Role | None:
    """Return the role that a path wants, None if there is no such page."""
    return ROLES.get(path.strip("/").split("/")[0])


@dataclass(frozen=True, slots=True)
class Address:
    """How browsers reach the console; all else is somebody else's page, or a rebound name."""

    origins: frozenset[str]
    secure: bool  # over TLS

    @classmethod
    def of(cls, settings: Settings, port: int) -> "Address":
        """Return the addresses of a console that listens on `port`."""
        if settings.console_origin:
            origin = settings.console_origin.lower()
            return cls(frozenset({origin}), origin.startswith("https://"))
        secure = settings.console_certificate is not None
        scheme = "https" if secure else "http"
        host = settings.console_host.lower()
        names = {f"[{host}]" if ":" in host else host}
        if names & {"127.0.0.1", "localhost", "[::1]"}:
            names = {"127.0.0.1", "localhost", "[::1]"}
        default = 443 if secure else 80
        shown = "" if port == default else f":{port}"
        return cls(frozenset(f"{scheme}://{name}{shown}" for name in names), secure)

    @property
    def cookie(self) -> str:
        """The name of the session's cookie; the prefix makes browsers keep it to this host."""
        return "__Host-console" if self.secure else "console"

    @property
    def shown(self) -> str:
        """The address that people are given."""
        return min(self.origins)

    def serves(self, host: str) -> bool:
        """Tell whether a Host header is ours."""
        return any(urlsplit(origin).netloc == host.lower() for origin in self.origins)
