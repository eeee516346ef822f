"""A certificate authority of a test's own, and certificates for servers on this machine.

authority = Authority(tmp_path / "ours")
servers.start("redis", authority.access, **authority.options)
"""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from synckairos.run.postgresql import UNPRIVILEGED


class Authority:
    """Signs one certificate, for `localhost` and, if there is one, an address. Its files are in `folder`.

    ca: its own certificate
    certificate, key: those of the server
    """

    def __init__(self, folder: Path, address: str | None = "127.0.0.1") -> None:
        folder.mkdir()
        self.ca, self.certificate, self.key = (
            folder / name for name in ("ca.pem", "server.pem", "server.key")
        )
        authority_key, server_key = (
            ec.generate_private_key(ec.SECP256R1()),
            ec.generate_private_key(ec.SECP256R1()),
        )
        name = _name(f"authority of {folder.name}")
        authority = _builder(name, name, authority_key.public_key(), ca=True).sign(authority_key, SHA256())
        names: list[x509.GeneralName] = [x509.DNSName("localhost")]
        if address is not None:
            names.append(x509.IPAddress(ip_address(address)))
        server = (
            _builder(_name("localhost"), name, server_key.public_key(), ca=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(authority_key, SHA256())
        )
        self.ca.write_bytes(authority.public_bytes(Encoding.PEM))
        self.certificate.write_bytes(server.public_bytes(Encoding.PEM))
        descriptor = os.open(self.key, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    @property
    def access(self) -> dict[str, Any]:
        """How clients of redis-py reach its servers."""
        return {"ssl": True, "ssl_ca_certs": str(self.ca)}

    @property
    def options(self) -> dict[str, Any]:
        """The options of a Redis with its certificate, with `_` for `-`. Its replicas trust it, too."""
        return {
            "tls_cert_file": str(self.certificate),
            "tls_key_file": str(self.key),
            "tls_ca_cert_file": str(self.ca),
            "tls_auth_clients": "no",
            "tls_replication": "yes",
        }

    @property
    def options_of_postgresql(self) -> dict[str, str]:
        """The options of a PostgreSQL with its certificate, which becomes the owner of the key."""
        if os.geteuid() == 0:
            account = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self.key, account.pw_uid, account.pw_gid)
        return {"ssl": "on", "ssl_cert_file": str(self.certificate), "ssl_key_file": str(self.key)}


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    usage = dict.fromkeys(_USAGES, False) | {"key_cert_sign" if ca else "digital_signature": True}
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
    )


_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
