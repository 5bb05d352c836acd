-- Roles and their least grants. Run it as the owner of the schema decnet (with CREATEROLE, or as a superuser) after
-- `decnetctl migrate`, and again after every migration; running it twice changes nothing:
--
--   psql -d decnet -v ON_ERROR_STOP=1 -f roles.sql
--
--   decnet_worker   what all programs share (no login)
--   decnet_ttp      decnet-ttp@.service
--   decnet_attribution  decnet-attribution@.service
--   decnet_ingest   decnetctl ingest
--   decnet_admin    decnetctl for operators: reads everything, mends positions, dead letters, deferrals and pauses, publishes
--                   observations of history, has identities judged anew
--   decnet_operator whoever reads and writes knowledge through the repository: a console, `decnetctl repo` (all methods but
--                   `initialize`); sees nothing of the programs' own rows
--   decnet_ro       reads everything, also the secrets that attackers tried: for people, not for programs (no login)
--
-- How a role logs in is up to pg_hba.conf; docs/operations.md shows peer authentication. A worker's role carries the name
-- of its consumer group: decnet_ttp owns the runtime rows of group `ttp`, whatever kafka_topic_prefix stands before it.

BEGIN;
SET LOCAL search_path = decnet;
SET LOCAL client_min_messages = warning;
SET LOCAL lock_timeout = '10s'; -- row security needs tables to itself for a moment: rather try again than hold up workers

DO $$
DECLARE
    role text;
    wanted jsonb := '{
        "decnet_worker": "NOLOGIN",
        "decnet_ro":     "NOLOGIN",
        "decnet_ttp":    "LOGIN CONNECTION LIMIT 32",
        "decnet_attribution": "LOGIN CONNECTION LIMIT 32",
        "decnet_ingest": "LOGIN CONNECTION LIMIT 16",
        "decnet_admin":  "LOGIN CONNECTION LIMIT 8",
        "decnet_operator": "LOGIN CONNECTION LIMIT 32"}';
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('decnet.roles', 0)); -- roles belong to the server, not the database
    FOR role IN SELECT jsonb_object_keys(wanted) LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I %s', role, wanted ->> role);
        END IF;
    END LOOP;
    FOREACH role IN ARRAY ARRAY['decnet_ttp', 'decnet_attribution', 'decnet_ingest', 'decnet_admin',
            'decnet_operator'] LOOP
        IF NOT pg_has_role(role, 'decnet_worker', 'MEMBER') THEN
            EXECUTE format('GRANT decnet_worker TO %I', role);
        END IF;
        EXECUTE format('ALTER ROLE %I SET search_path = decnet', role);
        EXECUTE format('ALTER ROLE %I SET timezone = ''UTC''', role);
    END LOOP;
    IF NOT pg_has_role('decnet_admin', 'decnet_ro', 'MEMBER') THEN
        GRANT decnet_ro TO decnet_admin;
    END IF;
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA decnet TO decnet_worker, decnet_ro;

-- Start from nothing, so that a grant which is gone from this file is gone from the database.
REVOKE ALL ON ALL TABLES IN SCHEMA decnet FROM decnet_worker, decnet_ttp, decnet_attribution, decnet_ingest, decnet_admin,
    decnet_operator, decnet_ro;

-- --- everybody ---
GRANT SELECT ON schema_version TO decnet_worker;
GRANT SELECT ON ALL TABLES IN SCHEMA decnet TO decnet_ro;

-- --- the runtime's own rows; a column to update is what FOR UPDATE SKIP LOCKED needs ---
GRANT SELECT, INSERT, DELETE, UPDATE (created_at) ON event_outbox TO decnet_ttp, decnet_attribution, decnet_ingest;
GRANT SELECT, INSERT, UPDATE, DELETE ON consumer_position, deferred_event, dead_letter, group_pause TO decnet_ttp,
    decnet_attribution;
GRANT SELECT ON consumer_position TO decnet_ingest; -- how far behind the readers are
GRANT INSERT, UPDATE, DELETE ON consumer_position, group_pause TO decnet_admin;
GRANT UPDATE (next_attempt_at), DELETE ON deferred_event TO decnet_admin;
GRANT UPDATE (replayed_at), DELETE ON dead_letter TO decnet_admin;
GRANT INSERT, DELETE, UPDATE (created_at) ON event_outbox TO decnet_admin; -- for dlq replay and observe
GRANT INSERT ON attribution_dirty TO decnet_admin; -- to have identities judged anew

-- --- ttp: reads whom a record speaks of and what intelligence knows, adds tags; can neither change nor remove one ---
GRANT SELECT (uuid, ip) ON attackers TO decnet_ttp;
GRANT SELECT ON attacker_intel TO decnet_ttp;
GRANT SELECT, INSERT ON ttp_tag TO decnet_ttp;

-- --- attribution: stores observations and what follows from them, founds identities, links attackers to those ---
GRANT SELECT (uuid, ip, first_seen, last_seen, identity_id), UPDATE (identity_id) ON attackers TO decnet_attribution;
GRANT SELECT (sid, ordinal, ts, command, truncated, errored, source_event_id) ON session_command TO decnet_attribution;
GRANT SELECT, INSERT, UPDATE ON observations TO decnet_attribution;
GRANT SELECT, INSERT, UPDATE, DELETE ON attribution_state, multi_actor_announced TO decnet_attribution;
GRANT SELECT, INSERT, DELETE, UPDATE (primitive) ON attribution_dirty TO decnet_attribution;
GRANT SELECT, INSERT, DELETE, UPDATE (updated_at) ON attacker_identities TO decnet_attribution; -- an update is a lock
GRANT USAGE ON SEQUENCE identity_event_seq TO decnet_attribution;

-- --- ingest: writes what a log says; neither tags nor intelligence, and no identity of an attacker ---
GRANT SELECT, INSERT ON logs, bounty, session_command TO decnet_ingest;
GRANT UPDATE (errored) ON session_command TO decnet_ingest;
GRANT UPDATE ("timestamp", decky, service) ON bounty TO decnet_ingest;
GRANT SELECT, INSERT, UPDATE ON credentials, attacker_session, attacker_evidence, ingest_source TO decnet_ingest;
GRANT SELECT, INSERT ON attackers TO decnet_ingest;
GRANT UPDATE (first_seen, last_seen, event_count, service_count, decky_count, services, deckies, traversal_path,
              is_traversal, bounty_count, credential_count, fingerprints, commands, country_code, country_source,
              asn, as_name, asn_source, ptr_record, updated_at) ON attackers TO decnet_ingest;

-- --- operator: every table of the interface, and the queue that tells the attribution worker what others changed ---
GRANT SELECT, INSERT, UPDATE, DELETE ON logs, bounty, credentials, credential_reuse, state, users, attackers,
    attacker_fingerprint_state, attacker_behavior, smtp_targets, observations, observed_attachments, attacker_intel,
    attacker_identities, campaigns, attribution_state, ttp_tag, ttp_rule, ttp_rule_state, swarm_hosts, decky_shards,
    fleet_deckies, topologies, lans, topology_deckies, topology_edges, topology_status_events, topology_mutations,
    webhook_subscriptions, canary_blobs, canary_tokens, canary_triggers, orchestrator_events, orchestrator_emails,
    synthetic_files, realism_config, tarpit_rules TO decnet_operator;
GRANT INSERT ON attribution_dirty TO decnet_operator;

-- --- row security: a program sees and writes the runtime rows of its own group only ---
CREATE OR REPLACE FUNCTION decnet_is_own_group(group_name text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT right(group_name, length(current_user) - 7) = substr(current_user, 8) $$; -- after 'decnet_'

DO $$
DECLARE
    owned text[];
    rule record;
BEGIN
    FOREACH owned SLICE 1 IN ARRAY ARRAY[['event_outbox', 'producer'], ['consumer_position', 'group_name'],
            ['deferred_event', 'group_name'], ['dead_letter', 'group_name'], ['group_pause', 'group_name']] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned[1]);
        FOR rule IN SELECT * FROM (VALUES
                ('own', 'ALL', 'decnet_worker', format('decnet_is_own_group(%I)', owned[2])),
                ('operators', 'ALL', 'decnet_admin', 'true'),
                ('readers', 'SELECT', 'decnet_ro', 'true')) AS r (name, command, role, condition) LOOP
            EXECUTE format('DROP POLICY IF EXISTS %I ON %I', rule.name, owned[1]);
            EXECUTE format('CREATE POLICY %I ON %I FOR %s TO %I USING (%s)', rule.name, owned[1], rule.command, rule.role,
                           rule.condition);
        END LOOP;
    END LOOP;
END $$;
DROP POLICY IF EXISTS backlog ON consumer_position;
CREATE POLICY backlog ON consumer_position FOR SELECT TO decnet_ingest USING (true);

COMMIT;
