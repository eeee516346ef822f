"""The access log as chains of hashes, and the functions by which it is written, read and shortened."""

from __future__ import annotations

from alembic import op

revision = "2"
down_revision = "1"
oldest = "1"
# No release that knows revision 1 has ever read the table or written into it.
removed = ("sync_access_log",)

# A chain is the log of one tenant; the chain '' has what is in no tenant's log. What a person can be known by
# is hashed with a salt of the row's own into `person`, and the chain only covers that digest. So a row can
# forget the person, and its salt with it, and its hash still agrees.
TABLES = (
    """
    CREATE TABLE sync_access_log (
        chain text NOT NULL GENERATED ALWAYS AS (coalesce(tenant_id, '')) STORED,
        place bigint NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        tenant_id text CHECK (tenant_id <> ''),
        sub text,
        roles text[] NOT NULL DEFAULT '{}',
        token_id text,
        action text NOT NULL,
        session_id uuid,
        outcome text NOT NULL CHECK (outcome IN ('allowed', 'refused')),
        code text,
        request_id text,
        address text,
        count bigint NOT NULL DEFAULT 1 CHECK (count >= 0),
        salt bytea,
        person bytea NOT NULL,
        erased_by bigint,
        previous bytea NOT NULL,
        hash bytea NOT NULL,
        PRIMARY KEY (chain, place)
    )
    """,
    "CREATE INDEX sync_access_log_by_time ON sync_access_log (chain, at DESC, place DESC)",
    # The newest row of each chain, as a row of its own: whoever adds to a chain locks it until the commit.
    """
    CREATE TABLE sync_access_chains (
        chain text PRIMARY KEY,
        place bigint NOT NULL,
        previous bytea NOT NULL,
        hash bytea NOT NULL
    ) WITH (fillfactor = 20)
    """,
)

# `SECURITY DEFINER`: these functions work with the rights of the tables' owner, so that the service needs no
# right but to insert. `pg_temp` comes last in their search path, because else a caller could put a temporary
# table in the place of a real one.
FUNCTIONS = (
    """
    CREATE FUNCTION sync_access_log_append() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, {schema}, pg_temp AS $$
    DECLARE
        of_chain text := coalesce(NEW.tenant_id, '');
    BEGIN
        IF NEW.hash IS NOT NULL THEN
            RETURN NEW; -- from a backup: it has its place already. Only the owner may give these columns.
        END IF;
        NEW.at := date_trunc('milliseconds', NEW.at);
        NEW.erased_by := NULL;
        NEW.salt := uuid_send(gen_random_uuid());
        NEW.person := sha256(NEW.salt || convert_to(array_to_json(
            ARRAY[NEW.sub, NEW.token_id, NEW.request_id, NEW.address])::text, 'UTF8'));
        LOOP
            UPDATE sync_access_chains AS c
            SET place = c.place + 1, previous = c.hash, hash = sha256(
                c.hash || NEW.person || convert_to(array_to_json(ARRAY[
                    of_chain, (c.place + 1)::text, (extract(epoch FROM NEW.at) * 1000)::bigint::text,
                    array_to_json(NEW.roles)::text, NEW.action, NEW.session_id::text, NEW.outcome, NEW.code,
                    NEW.count::text])::text, 'UTF8'))
            WHERE c.chain = of_chain
            RETURNING c.place, c.previous, c.hash INTO NEW.place, NEW.previous, NEW.hash;
            EXIT WHEN FOUND;
            INSERT INTO sync_access_chains VALUES (of_chain, 0, '', '') ON CONFLICT DO NOTHING;
        END LOOP;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER append BEFORE INSERT ON sync_access_log
    FOR EACH ROW EXECUTE FUNCTION sync_access_log_append()
    """,
    """
    CREATE FUNCTION sync_access_log_read(
        of_tenant text, before_at timestamptz, before_place bigint, most integer
    ) RETURNS SETOF sync_access_log LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, {schema}, pg_temp AS $$
        SELECT * FROM sync_access_log
        WHERE chain = coalesce(of_tenant, '')
            AND (before_at IS NULL OR (at, place) < (before_at, before_place))
        ORDER BY at DESC, place DESC LIMIT most
    $$
    """,
    # One chain in a call; 0 when nothing is left to remove. The chain itself says, in a row `expire`, how
    # many rows it has lost at its beginning. Chains that have nothing but such rows are left alone.
    """
    CREATE FUNCTION sync_access_log_expire(before timestamptz) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    DECLARE
        old record;
        kept bigint;
        removed bigint;
    BEGIN
        IF before > now() - interval '1 day' THEN
            RAISE EXCEPTION 'the access log keeps what is younger than a day';
        END IF;
        SELECT c.chain, c.place AS newest, oldest.place INTO old
        FROM sync_access_chains AS c CROSS JOIN LATERAL (
            SELECT l.place, l.at FROM sync_access_log AS l
            WHERE l.chain = c.chain AND l.action <> 'expire' ORDER BY l.place LIMIT 1
        ) AS oldest WHERE oldest.at < before ORDER BY c.chain LIMIT 1;
        IF NOT FOUND THEN
            RETURN 0;
        END IF;
        SELECT l.place INTO kept FROM sync_access_log AS l
        WHERE l.chain = old.chain AND l.place > old.place AND l.at >= before ORDER BY l.place LIMIT 1;
        kept := coalesce(kept, old.newest + 1);
        DELETE FROM sync_access_log AS l WHERE l.chain = old.chain AND l.place < kept;
        GET DIAGNOSTICS removed = ROW_COUNT;
        INSERT INTO sync_access_log (tenant_id, action, outcome, count)
        VALUES (nullif(old.chain, ''), 'expire', 'allowed', kept - 1);
        RETURN removed;
    END $$
    """,
)
NAMES = (
    "sync_access_log_append()",
    "sync_access_log_read(text, timestamptz, bigint, integer)",
    "sync_access_log_expire(timestamptz)",
)

# The table of revision 1, into which no release has ever written.
UNUSED = (
    """
    CREATE TABLE sync_access_log (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT now(),
        actor text,
        tenant_id text,
        roles text[] NOT NULL DEFAULT '{}',
        action text NOT NULL,
        session_id uuid,
        allowed boolean NOT NULL,
        reason text,
        request_id text,
        address text,
        details json
    )
    """,
    "CREATE INDEX sync_access_log_by_time ON sync_access_log (at)",
    "CREATE INDEX sync_access_log_of_session ON sync_access_log (session_id, at)",
    "CREATE INDEX sync_access_log_of_tenant ON sync_access_log (tenant_id, at)",
)


def upgrade() -> None:
    """Put the chains in the place of the table that was never used."""
    op.execute("DROP TABLE sync_access_log")
    for statement in TABLES:
        op.execute(statement)
    schema = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    for statement in FUNCTIONS:
        op.execute(statement.replace("{schema}", schema))
    for name in NAMES:
        op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")


def downgrade() -> None:
    """Drop the chains with all their rows."""
    op.execute("DROP TABLE sync_access_log CASCADE")
    op.execute("DROP TABLE sync_access_chains")
    for name in NAMES:
        op.execute(f"DROP FUNCTION IF EXISTS {name}")
    for statement in UNUSED:
        op.execute(statement)
