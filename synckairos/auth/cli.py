"""The commands `keys`, `token` and `tenants`."""

from __future__ import annotations

import asyncio
import os
import re
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, TypeVar

import click

from synckairos.audit.access_log.entries import record_command
from synckairos.audit.jobs import Jobs
from synckairos.audit.store import Store
from synckairos.audit.verify import arrived
from synckairos.auth import secret_file
from synckairos.auth.access import Role
from synckairos.auth.adoption import adopt_in_postgresql, adopt_in_redis
from synckairos.auth.api_keys import ApiKeys
from synckairos.auth.claims import is_name
from synckairos.auth.grants import iso, new_key
from synckairos.auth.keys_file import KeysFileError
from synckairos.auth.parts import parts
from synckairos.auth.signing import sign
from synckairos.config import Settings
from synckairos.core.calls import Sessions
from synckairos.core.clients import REDIS_ERRORS
from synckairos.core.connection import Connection
from synckairos.errors import NotReplicated, StorageUnavailable, error_text
from synckairos.output import echo
from synckairos.settings_option import config_option, settings_or_exit

T = TypeVar("T")

DATA_DIR = Path(".synckairos")
"""The data folder of `synckairos dev`."""

ARRIVES_S = 10.0
"""How long `adopt` waits for events that are on their way to PostgreSQL."""

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
LONGEST_S = 36_500 * 86_400
"""A hundred years. An end that no calendar has could not be shown, and no other key beside it."""
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType


class _Duration(_ParamType):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Seconds."""
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        seconds = 0 if match is None else int(match[1]) * _UNITS_S[match[2]]
        if not 0 < seconds <= LONGEST_S:
            self.fail("must be such as 90d, 12h, 30m or 45s, and at most 36500d", param, ctx)
        return seconds


class _Name(_ParamType):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """A tenant or a subject."""
        if not isinstance(value, str) or not is_name(value):
            self.fail("must be 1 to 255 characters, and no control characters", param, ctx)
        return value


class _Id(_ParamType):
    name = "uuid"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """A session or a participant."""
        try:
            return str(uuid.UUID(value))
        except (ValueError, AttributeError, TypeError):
            self.fail("must be a UUID", param, ctx)


_roles = click.option(
    "--role",
    "roles",
    type=click.Choice([str(role) for role in Role]),
    multiple=True,
    required=True,
    help="What it may do; may be given several times.",
)
_session = click.option("--session", type=_Id(), help="The only session that it is good for.")
_participant = click.option("--participant", type=_Id(), help="The participant as whom a player plays.")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys.

    They are in the file of API_KEYS_FILE, else in PostgreSQL, else in Redis, with which they go.
    """


@keys.command()
@click.option("--tenant", type=_Name(), required=True, help="Whose sessions it is for.")
@_roles
@_session
@_participant
@click.option("--expires-in", type=_Duration(), help="How long it is good, such as 90d.  [default: no end]")
@config_option
def create(  # noqa: PLR0917 - one for each option
    tenant: str,
    roles: tuple[str, ...],
    session: str | None,
    participant: str | None,
    expires_in: int | None,
    file: Path | None,
) -> None:
    """Make a key and print it. It is not kept, so it cannot be shown again."""
    now = time()
    key, token = new_key(
        tenant,
        list(dict.fromkeys(roles)),
        now,
        session=session,
        participant=participant,
        expires_at=None if expires_in is None else now + expires_in,
    )

    async def add() -> None:
        async with _api_keys(settings_or_exit(os.environ, file)) as (api_keys, store):
            await record_command(store, "create key", tenant=tenant, token_id=f"key:{key.key_id}")
            await api_keys.add(key)

    _run(add())
    click.echo(token)


@keys.command("list")
@config_option
def list_(file: Path | None) -> None:
    """List the keys: id, tenant, roles, what they are bound to, and when they were made, used and end."""

    async def listed() -> list[str]:
        async with _api_keys(settings_or_exit(os.environ, file)) as (api_keys, _):
            lines = []
            for each in await api_keys.all():
                key = each.key
                ends = "no end" if key.expires_at is None else f"ends {iso(key.expires_at)}"
                if key.revoked:
                    ends = "revoked"
                elif key.is_over(time()):
                    ends = f"ended {iso(key.expires_at or 0.0)}"
                used = "not used" if each.used_at is None else f"used {iso(each.used_at)}"
                bound = [
                    f"{name} {value}"
                    for name, value in (("session", key.session), ("participant", key.participant))
                    if value is not None
                ]
                fields = (key.tenant, ",".join(key.roles), *bound, f"made {iso(key.made_at)}", used, ends)
                lines.append("  ".join((key.key_id, *fields)))
            return lines

    for line in _run(listed()):
        echo(line)


@keys.command()
@click.argument("key_id", metavar="ID")
@config_option
def revoke(key_id: str, file: Path | None) -> None:
    """Revoke a key by its ID, the part between the underscores. Within 5 s no process takes it any more."""
    key_id = key_id.removeprefix("key:").removeprefix("sk_").partition("_")[0]

    async def revoked() -> bool:
        async with _api_keys(settings_or_exit(os.environ, file)) as (api_keys, store):
            key = await api_keys.revoke(key_id)
            if key is not None:  # whose key it is was not known before
                await record_command(store, "revoke key", tenant=key.tenant, token_id=f"key:{key.key_id}")
            return key is not None

    if not _run(revoked()):
        raise click.ClickException(f"there is no key {key_id}")
    click.echo(f"the key {key_id} is revoked")


@click.command()
@click.option("--sub", type=_Name(), default="developer", show_default=True, help="Who it is for.")
@click.option("--tenant", type=_Name(), default="dev", show_default=True, help="Whose sessions it is for.")
@_roles
@_session
@_participant
@click.option("--jti", type=_Name(), help="Its id, by which it can be revoked.")
@click.option("--expires-in", type=_Duration(), default="1h", show_default=True, help="How long it is good.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=DATA_DIR,
    show_default=True,
    help="Data folder of `synckairos dev --auth`, which has the secret unless JWT_SECRET is set.",
)
@config_option
def token(  # noqa: PLR0917 - one for each option
    sub: str,
    tenant: str,
    roles: tuple[str, ...],
    session: str | None,
    participant: str | None,
    jti: str | None,
    expires_in: int,
    data_dir: Path,
    file: Path | None,
) -> None:
    """Make a JWT with JWT_SECRET and print it. This is for development: whoever has the secret can do it."""
    environ = {**os.environ}
    if not environ.get("JWT_SECRET") and file is None:
        try:
            environ["JWT_SECRET"] = secret_file.read(data_dir)
        except OSError as error:
            raise click.ClickException(
                f"JWT_SECRET is not set, and {data_dir} has no secret of `synckairos dev --auth`:"
                f" {error_text(error)}"
            ) from None
    environ["AUTH_MODE"] = "jwt"
    settings = settings_or_exit(environ, file)
    if settings.jwt_secret is None:
        raise click.ClickException("JWT_SECRET is not set: tokens by JWT_JWKS_URL are made elsewhere")
    now = int(time())
    claims = {
        "sub": sub,
        "tenant": tenant,
        "roles": list(dict.fromkeys(roles)),
        "session": session,
        "participant": participant,
        "jti": jti,
        "aud": settings.jwt_audience,
        "iss": settings.jwt_issuer,
        "iat": now,
        "exp": now + expires_in,
    }
    click.echo(sign(settings.jwt_secret, claims))


@click.group()
def tenants() -> None:
    """Give sessions without a tenant to one."""


@tenants.command()
@click.argument("tenant", type=_Name())
@click.argument("ids", type=_Id(), nargs=-1, metavar="[ID]...")
@config_option
def adopt(tenant: str, ids: tuple[str, ...], file: Path | None) -> None:
    """Give the sessions with these IDs, or all that have no tenant, to TENANT.

    Sessions that were made with AUTH_MODE=none have no tenant, and with AUTH_MODE=jwt nobody can use them.
    """
    settings = settings_or_exit(os.environ, file)

    async def adopted() -> set[str]:
        async with _stores(settings) as (connection, store):
            await record_command(store, "adopt sessions", tenant=tenant)
            found = await adopt_in_redis(connection, tenant, ids)
            if store is not None:
                # What is on its way to PostgreSQL may have been written before, without a tenant.
                with closing(Jobs.of(settings)) as jobs:
                    await arrived(connection, jobs, ARRIVES_S)
                found |= await adopt_in_postgresql(store, tenant, ids)
            return found

    found = _run(adopted())
    for session_id in sorted(found):
        echo(session_id)
    click.echo(f"{len(found)} sessions are {tenant}'s now", err=True)
    if others := set(ids) - found:
        raise click.ClickException(
            "not adopted, because they have a tenant or are not there: " + ", ".join(sorted(others))
        )


@asynccontextmanager
async def _stores(settings: Settings) -> AsyncIterator[tuple[Connection, Store | None]]:
    store = None if settings.database_url is None else Store(settings.database_url, max_size=2)
    async with Connection.to(settings) as connection:
        try:
            yield connection, store
        finally:
            if store is not None:
                await store.aclose()


@asynccontextmanager
async def _api_keys(settings: Settings) -> AsyncIterator[tuple[ApiKeys, Store | None]]:
    async with _stores(settings) as (connection, store):
        made = parts(settings, connection, store, Sessions(connection, settings.session_ttl))
        yield made.api_keys, store


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Does it, and tells of a failure in a sentence."""
    try:
        return asyncio.run(work)
    except StorageUnavailable as error:
        reason = error_text(error.__cause__ or error)
        raise click.ClickException(
            f"the storage does not answer: {reason}. "
            "REDIS_URL and DATABASE_URL have to be those of the service"
        ) from None
    except (KeysFileError, NotReplicated, *REDIS_ERRORS) as error:
        raise click.ClickException(error_text(error)) from None
