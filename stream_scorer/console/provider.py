"""Signing in by OpenID Connect: the authorization code flow with PKCE, by authlib."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from stream_scorer.errors import BadInput
from stream_scorer.logs import event

logger = logging.getLogger(__name__)
FAILED = event("oidc_failed")

ANSWER_S = 10.0
# What a signature may be made with; never "none", never a shared secret.
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
AWAY = "The sign-in service does not answer. Try again, or sign in by name and password."
REFUSED = "The sign-in service did not let you in."
LONGEST = 400


@dataclass(frozen=True, slots=True)
class Journey:
    """Where a person is sent, and what must come back with them."""

    url: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Known:
    """Whom the provider says a person is."""

    subject: str  # the provider's own name for them, with the provider's
    name: str


class Provider:
    """One OpenID Connect provider."""

    def __init__(self, issuer: str, client_id: str, secret: str, *, back: str) -> None:
        """Send people to `issuer`, who come back to the address `back`."""
        self._issuer = issuer.rstrip("/")
        self._client_id = client_id
        self._secret = secret
        self._back = back

    def begin(self) -> Journey:
        """Return where to send a person; raise BadInput if the provider does not answer."""
        found = self._discovered()
        nonce, verifier = generate_token(32), generate_token(64)
        with self._session() as session:
            url, state = session.create_authorization_url(
                found["authorization_endpoint"], code_verifier=verifier, nonce=nonce
            )
        return Journey(url, state, nonce, verifier)

    def finish(self, answer_url: str, journey: Journey) -> Known:
        """Return whom the provider says a person is who came back with `answer_url`.

        Raises BadInput if it did not let them in, or its word does not hold.
        """
        found = self._discovered()
        try:
            with self._session() as session:
                token = session.fetch_token(
                    found["token_endpoint"],
                    authorization_response=answer_url,
                    state=journey.state,
                    code_verifier=journey.verifier,
                    timeout=ANSWER_S,
                )
            keys = KeySet.import_key_set(self._get(found["jwks_uri"]))  # type: ignore[arg-type]
            claims = jwt.decode(token["id_token"], keys, algorithms=ALGORITHMS).claims
            self._check(claims, journey.nonce)
        except requests.RequestException as exc:
            logger.warning("OpenID Connect: %s", type(exc).__name__, extra=FAILED)
            raise BadInput(AWAY) from exc
        except (OAuthError, JoseError, KeyError, ValueError) as exc:
            logger.warning(
                "OpenID Connect: %s: %s", type(exc).__name__, str(exc)[:200], extra=FAILED
            )
            raise BadInput(REFUSED) from exc
        subject = str(claims["sub"])
        name = claims.get("preferred_username") or claims.get("email") or subject
        return Known(f"{self._issuer} {subject}"[:LONGEST], str(name)[:90])

    def _check(self, claims: Mapping[str, Any], nonce: str) -> None:
        """Raise JoseError or KeyError unless the claims are of this provider, for us, and fresh."""
        registry = jwt.JWTClaimsRegistry(
            leeway=60,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._client_id},
            exp={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        registry.validate({**claims, "iss": str(claims["iss"]).rstrip("/")})

    def _session(self) -> OAuth2Session:
        return OAuth2Session(
            self._client_id,
            self._secret,
            scope="openid profile email",
            redirect_uri=self._back,
            code_challenge_method="S256",
        )

    def _discovered(self) -> dict[str, Any]:
        """Return what the provider says of itself."""
        found = self._get(f"{self._issuer}/.well-known/openid-configuration")
        if str(found.get("issuer", "")).rstrip("/") != self._issuer:
            logger.warning(
                "OpenID Connect: the issuer calls itself %r", found.get("issuer"), extra=FAILED
            )
            raise BadInput(REFUSED)
        return found

    @staticmethod
    def _get(url: str) -> dict[str, Any]:
        try:
            answer = requests.get(url, timeout=ANSWER_S, allow_redirects=False)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
        except (requests.RequestException, ValueError) as exc:
            logger.warning("OpenID Connect: %s", type(exc).__name__, extra=FAILED)
            raise BadInput(AWAY) from exc
        return found
