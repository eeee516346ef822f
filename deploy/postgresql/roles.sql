-- The roles of SyncKairos in PostgreSQL: an owner, the application (`synckairos serve`) and the worker.
--
--   psql --set ON_ERROR_STOP=1 --file roles.sql "$ADMIN_URL"     as somebody who may create roles
--   psql "$ADMIN_URL"                                            \password synckairos_owner, and so on
--   DATABASE_URL=postgresql://synckairos_owner:…  synckairos migrate
--   psql --set ON_ERROR_STOP=1 --file roles.sql "$ADMIN_URL"     again, after this and every later migrate
--
-- It may be run any number of times. Tables that were made by somebody else become those of synckairos_owner.
--
-- What each may do is below. The application can do nothing to the access log but insert into it, and read a
-- tenant's part of it by a function: it cannot change or remove what was once on record.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['synckairos_owner', 'synckairos_app', 'synckairos_worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), name);
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
    END LOOP;
    EXECUTE format('GRANT CREATE ON SCHEMA %I TO synckairos_owner', current_schema());
END $$;

DO $$
DECLARE
    found record;
BEGIN
    IF to_regclass('sync_schema') IS NULL THEN
        RAISE NOTICE 'there are no tables yet: run synckairos migrate as synckairos_owner, and this once more';
        RETURN;
    END IF;

    FOR found IN
        SELECT c.oid::regclass AS name FROM pg_class AS c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname LIKE 'sync\_%'
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO synckairos_owner', found.name);
        EXECUTE format('REVOKE ALL ON TABLE %s FROM PUBLIC, synckairos_app, synckairos_worker', found.name);
        -- The rights on single columns are not among those of the table.
        EXECUTE (
            SELECT format('REVOKE ALL (%s) ON TABLE %s FROM synckairos_app, synckairos_worker',
                string_agg(quote_ident(attname), ', '), found.name)
            FROM pg_attribute WHERE attrelid = found.name AND attnum > 0 AND NOT attisdropped
        );
    END LOOP;
    FOR found IN
        SELECT p.oid::regprocedure AS name FROM pg_proc AS p
        WHERE p.pronamespace = current_schema()::regnamespace AND p.proname LIKE 'sync\_%'
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO synckairos_owner', found.name);
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, synckairos_app, synckairos_worker', found.name);
    END LOOP;

    -- The application reads events and sessions, to list, to show and to restore them. It writes none of them.
    GRANT SELECT ON sync_schema, sync_events, sync_sessions, sync_tags, sync_refused TO synckairos_app;
    -- Place and hashes are not among these columns: the database makes them.
    GRANT INSERT (
        at, tenant_id, sub, roles, token_id, action, session_id, outcome, code, request_id, address, count
    ) ON sync_access_log TO synckairos_app;
    GRANT EXECUTE ON FUNCTION sync_access_log_read TO synckairos_app;
    -- It looks keys up and notes when they were used; the owner makes and revokes them (`synckairos keys`).
    GRANT SELECT, UPDATE (used_at) ON sync_keys TO synckairos_app;
    GRANT SELECT, INSERT, UPDATE (revoked_at) ON sync_links TO synckairos_app;
    GRANT SELECT, INSERT ON sync_revocations TO synckairos_app;
    -- It makes and removes webhooks, and cannot read their secrets: the worker alone signs.
    GRANT SELECT (
        webhook_id, tenant_id, owner, url, events, sessions, status, created_at, made_by, since_ms, failing_since
    ), INSERT (
        webhook_id, tenant_id, url, events, sessions, secret, made_by, since_ms
    ), DELETE ON sync_webhooks TO synckairos_app;
    GRANT SELECT, INSERT (delivery_id, webhook_id, body, next_attempt_at, sealed),
        UPDATE (status, failures, next_attempt_at, done_at) ON sync_webhook_deliveries TO synckairos_app;
    GRANT SELECT ON sync_webhook_state TO synckairos_app;

    -- The worker stores what the application queues, and shortens the access log (ACCESS_LOG_RETENTION_DAYS).
    -- `synckairos audit` needs no more than it may.
    GRANT SELECT ON sync_schema, sync_events, sync_sessions, sync_participants, sync_refused TO synckairos_worker;
    GRANT INSERT ON sync_events, sync_refused TO synckairos_worker;
    GRANT INSERT, UPDATE ON sync_sessions TO synckairos_worker;
    GRANT INSERT, UPDATE, DELETE ON sync_participants TO synckairos_worker;
    GRANT SELECT, INSERT, UPDATE, DELETE ON sync_tags TO synckairos_worker;
    GRANT SELECT ON sync_access_log, sync_access_chains TO synckairos_worker;
    GRANT SELECT, UPDATE (status, since_ms, failing_since) ON sync_webhooks TO synckairos_worker;
    GRANT SELECT, INSERT, UPDATE, DELETE ON sync_webhook_changes, sync_webhook_sessions, sync_webhook_deliveries
        TO synckairos_worker;
    GRANT SELECT, UPDATE ON sync_webhook_state TO synckairos_worker;
    GRANT EXECUTE ON FUNCTION sync_access_log_expire, sync_access_log_read TO synckairos_worker;
END $$;
