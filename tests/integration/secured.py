"""A broker with an authorizer, behind TLS and SASL, with certificates good and bad."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from stream_scorer.local_kafka import Listener, free_ports, local_kafka
from tests.integration.stream import wait_for

USER = "scorer"
PASSWORD = "geheim-canary-pw"  # noqa: S105 - looked for where it must not be
HOST = "127.0.0.1"
MODULE = "org.apache.kafka.common.security"
JAAS = {
    "plain": f'{MODULE}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
    "scram-sha-512": f"{MODULE}.scram.ScramLoginModule required;",
    # Signed by nobody: Kafka's own validator for tests.
    "oauthbearer": f"{MODULE}.oauthbearer.OAuthBearerLoginModule required "
    'unsecuredLoginStringClaim_sub="broker";',
}
Right = tuple[ResourceType, str, AclOperation]


@dataclass(frozen=True)
class Secured:
    """The broker: in the clear for the tests (a super user), secured for the scorer."""

    bootstrap: str
    ports: dict[str, int]  # by listener
    folder: Path  # ca.pem, client.pem (with its key), stranger.pem

    def client(self, listener: str, **more: str) -> dict[str, str]:
        """Return the settings that bring a scorer in by a listener."""
        return {
            "SCORER_KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{self.ports[listener]}",
            "SCORER_KAFKA_SSL_CA_LOCATION": str(self.folder / "ca.pem"),
            **more,
        }

    def sasl(self, mechanism: str = "SCRAM-SHA-512", password: str = PASSWORD) -> dict[str, str]:
        """Return the settings of one SASL mechanism over TLS."""
        token = {
            "SCORER_KAFKA_ENABLE_SASL_OAUTHBEARER_UNSECURE_JWT": "true",
            "SCORER_KAFKA_SASL_OAUTHBEARER_CONFIG": f"principal={USER}",
        }
        words = {"SCORER_KAFKA_SASL_USERNAME": USER, "SCORER_KAFKA_SASL_PASSWORD": password}
        return self.client(
            "SASL",
            SCORER_KAFKA_SECURITY_PROTOCOL="SASL_SSL",
            SCORER_KAFKA_SASL_MECHANISM=mechanism,
            **(token if mechanism == "OAUTHBEARER" else words),
        )

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def grant(self, *rights: Right) -> None:
        """Give the scorer rights, and nobody else; return when the broker knows."""
        self._change([self._binding(each) for each in rights], granted=True)

    def revoke(self, *rights: Right) -> None:
        """Take rights away; return when the broker knows."""
        self._change([self._binding(each) for each in rights], granted=False)

    def set_password(self, password: str) -> None:
        """Give the SCRAM user a password."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(USER, info, password.encode())
        admin = self.admin()
        for each in admin.alter_user_scram_credentials([change]).values():
            each.result(30)

    def _binding(self, right: Right) -> AclBinding:
        kind, name, operation = right
        return AclBinding(
            kind,
            name,
            ResourcePatternType.LITERAL,
            f"User:{USER}",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )

    def _change(self, bindings: list[AclBinding], *, granted: bool) -> None:
        admin = self.admin()
        if granted:
            for each in admin.create_acls(bindings).values():
                each.result(30)
        else:
            for each in admin.delete_acls([filter_of(b) for b in bindings]).values():
                each.result(30)

        def known() -> bool:
            with contextlib.suppress(KafkaException):
                return all(
                    bool(admin.describe_acls(filter_of(b)).result(30)) is granted for b in bindings
                )
            return False

        wait_for("the rights to change", known)


def filter_of(binding: AclBinding) -> AclBindingFilter:
    """Return what finds exactly this binding."""
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )


@contextlib.contextmanager
def secured_kafka(folder: Path) -> Iterator[Secured]:
    """Run the broker for the length of the `with` block."""
    names = ("SASL", "TLS", "MUTUAL", "EXPIRED", "OTHERHOST")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    write_certificates(folder)
    settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "ca.pem"),
        "ssl.keystore.type": "PEM",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512,OAUTHBEARER",
        "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]*).*$/$1/,DEFAULT",
        "listener.name.mutual.ssl.client.auth": "required",
        **{
            f"listener.name.{name.lower()}.ssl.keystore.location": str(folder / f"{store}.pem")
            for name, store in zip(
                names, ("broker", "broker", "broker", "expired", "otherhost"), strict=True
            )
        },
        **{
            f"listener.name.sasl.{mechanism}.sasl.jaas.config": text
            for mechanism, text in JAAS.items()
        },
    }
    listeners = [
        Listener(name, "SASL_SSL" if name == "SASL" else "SSL", port)
        for name, port in ports.items()
    ]
    with local_kafka(listeners=[listeners], settings=settings) as kafka:
        clear = {"CLEAR": kafka.brokers[0].port}
        broker = Secured(kafka.bootstrap, ports | clear, folder)
        broker.set_password(PASSWORD)
        yield broker


def write_certificates(folder: Path) -> None:
    """Write an authority, the broker's certificates, the scorer's, and a stranger's authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "stranger.pem")
    past = datetime.now(UTC) - timedelta(days=2)
    for name, certificate in (
        ("broker", authority.issue_cert(HOST)),
        ("otherhost", authority.issue_cert("elsewhere.example")),
        ("expired", authority.issue_cert(HOST, not_after=past)),
        ("client", authority.issue_cert("client.example", common_name=USER)),
    ):
        key = load_pem_private_key(certificate.private_key_pem.bytes(), None).private_bytes(
            Encoding.PEM,
            PrivateFormat.PKCS8,
            NoEncryption(),  # as Java wants it
        )
        chain = b"".join(each.bytes() for each in certificate.cert_chain_pems)
        (folder / f"{name}.pem").write_bytes(key + chain)
