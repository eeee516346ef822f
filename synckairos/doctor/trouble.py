"""Why a server cannot be reached or used, and what to do about it, in words for people."""

from __future__ import annotations

import re
import socket
import ssl
from typing import Any

from redis.exceptions import AuthenticationError

from synckairos.config import Address
from synckairos.output import redacted

CONNECT_S = 2.0
"""How long a server may take to answer one question."""


def redis_trouble(error: BaseException, where: str, setting: str) -> tuple[str, str]:
    """Why a server of Redis cannot be used, and what to do. `setting`: the one that says where it is."""
    text = redacted(str(error))
    if _refuses_login(error):
        url = "REDIS_URL" if setting == "REDIS_CLUSTER_NODES" else setting
        return (
            f"{where} refuses the user or the password: {text}",
            f"put them into {url}: redis://user:password@host:6379/0 (without a user: redis://:password@…)",
        )
    if text.startswith("LOADING") or "is loading" in text:
        return f"{where} is still reading its data", "wait until it has; its log says how far it is"
    return network_trouble(
        error,
        where,
        setting,
        "start Redis or Valkey there (try: docker run -p 127.0.0.1:6379:6379 valkey/valkey:9), or set "
        f"{setting} to where it is; `synckairos dev` brings a server along",
    )


def sentinel_trouble(error: BaseException, where: str) -> tuple[str, str]:
    """Why a Sentinel cannot be used, and what to do. Its login is not that of the servers."""
    if _refuses_login(error):
        return (
            f"{where} refuses the user or the password: {why(error)}",
            "correct REDIS_SENTINEL_PASSWORD, and REDIS_SENTINEL_USER where the Sentinels have users",
        )
    return network_trouble(
        error,
        where,
        "REDIS_SENTINEL_HOSTS",
        "start the Sentinel there, or let REDIS_SENTINEL_HOSTS name where the Sentinels are (port 26379, "
        "unless their settings say otherwise)",
    )


def _refuses_login(error: BaseException) -> bool:
    return isinstance(error, AuthenticationError) or str(error).startswith("NOAUTH")


def network_trouble(error: BaseException, where: str, setting: str, if_closed: str) -> tuple[str, str]:
    """Why a server cannot be reached, and what to do. `if_closed`: what to do when nothing listens there."""
    causes = _causes(error)
    if distrust := next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None):
        return (
            f"the certificate of {where} is not trusted: {distrust.verify_message}",
            f"name the CA that has signed it, and the host as the certificate has it: {_TRUST[setting]}",
        )
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return (
            f"{where} does not do TLS as expected: {why(error)}",
            "check that the port does TLS at all, and that this machine trusts its certificate",
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return f"the name in {where} is not known: {why(error)}", f"correct the host in {setting}"
    if any(isinstance(cause, ConnectionRefusedError | FileNotFoundError) for cause in causes):
        return f"nothing listens at {where}", if_closed
    if any(isinstance(cause, TimeoutError) for cause in causes) or "imeout" in str(error):
        return (
            f"{where} does not answer within {CONNECT_S:g} s",
            f"check that {setting} is right, that the server runs, and that no firewall is in between",
        )
    return (
        f"{where} cannot be used: {why(error)}",
        f"check that {setting} is right, and that the port is the server's",
    )


_TRUST = {
    "DATABASE_URL": "sslmode=verify-full&sslrootcert=/path/to/ca.pem behind the ? of DATABASE_URL",
    "REDIS_SENTINEL_HOSTS": "REDIS_SENTINEL_CA=/path/to/ca.pem",
    "REDIS_CLUSTER_NODES": "?ssl_ca_certs=/path/to/ca.pem at the end of REDIS_URL",
    "REDIS_URL": "?ssl_ca_certs=/path/to/ca.pem at its end",
    "RQ_REDIS_URL": "?ssl_ca_certs=/path/to/ca.pem at its end",
    "MOVED_TO": "?ssl_ca_certs=/path/to/ca.pem at the end of its URL",
}
"""How each setting that says where a server is says which certificates are good."""


def _causes(error: BaseException) -> list[BaseException]:
    """An error and those that caused it."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return found


def why(error: BaseException) -> str:
    """The text of an error, on one line. Some have the URL in them that could not be used."""
    behind = _causes(error)[-1]
    text = " ".join(str(error).split()) or " ".join(str(behind).split())
    return redacted(text) or type(behind).__name__


def release(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with."""
    match = re.match(r"\s*(\d+(?:\.\d+)*)", version)
    return tuple(map(int, match[1].split("."))) if match else ()


def address_text(address: Address) -> str:
    """`host:port`."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def decoded(value: Any) -> str:
    """A reply of Redis as text."""
    return value.decode() if isinstance(value, bytes) else str(value)
