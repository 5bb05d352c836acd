-- A repository as it looks after months: a million logs, 200,000 attackers, two million tags, and all that comes with
-- them. One transaction on a migrated, empty database; superuser, search_path decnet. Ids are a letter and a number
-- (values.c names some of them); busy attackers have more than others.
BEGIN;
SET LOCAL session_replication_role = replica; -- the rows fit together: no trigger has to look

CREATE FUNCTION pg_temp.u(kind text, i bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT (kind || '0000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.ip(i bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT '10.' || (i >> 16) || '.' || (i >> 8 & 255) || '.' || (i & 255) $$;
-- Half of all rows belong to one attacker in a hundred.
CREATE FUNCTION pg_temp.who(i bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    $$ SELECT CASE WHEN i % 2 = 0 THEN i * 7919 % 200000 ELSE i / 2 % 2000 * 100 END + 1 $$;
CREATE FUNCTION pg_temp.at(i bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
    $$ SELECT to_timestamp(1767225600 + i * 7.5) $$; -- from 2026-01-01
CREATE FUNCTION pg_temp.service(i bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT CASE i % 20 WHEN 0 THEN 'mysql' WHEN 1 THEN 'smtp' ELSE (ARRAY['ssh', 'telnet', 'http'])[i % 3 + 1] END $$;

-- Indexes are made once all rows are there, which takes a third of the time.
CREATE TEMPORARY TABLE later ON COMMIT DROP AS
    SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
    WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'decnet'::regnamespace AND relkind = 'r')
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid);
DO $$
DECLARE i text;
BEGIN
    FOR i IN SELECT name FROM later LOOP
        EXECUTE 'DROP INDEX ' || i;
    END LOOP;
END $$;

INSERT INTO campaigns (uuid, created_at, updated_at, confidence, identity_count, ja3_hashes)
    SELECT pg_temp.u('c', i), pg_temp.at(i), pg_temp.at(i), 0.5, 5, '["ja3"]' FROM generate_series(1, 50000) i;
INSERT INTO attacker_identities (uuid, campaign_id, created_at, updated_at, observation_count, ja3_hashes, hassh_hashes,
    merged_into_uuid)
    SELECT pg_temp.u('d', i), pg_temp.u('c', i % 50000 + 1), pg_temp.at(i), pg_temp.at(i), 2, '["ja3"]', '["hassh"]',
        CASE WHEN i % 100 = 0 THEN pg_temp.u('d', i - 1) END
    FROM generate_series(1, 100000) i;
INSERT INTO attackers (uuid, ip, identity_id, first_seen, last_seen, event_count, service_count, decky_count, services,
    deckies, is_traversal, country_code, asn, commands)
    SELECT pg_temp.u('a', i), pg_temp.ip(i), CASE WHEN i % 4 <> 0 THEN pg_temp.u('d', (i + 1) / 2) END, pg_temp.at(i),
        pg_temp.at(i * 7919 % 1000000), CASE WHEN i % 100 = 1 THEN 250 ELSE 3 END, 1, 1,
        jsonb_build_array(pg_temp.service(i / 100 * 7 + i)), jsonb_build_array('decky-' || i % 50), i % 10 = 0, 'NL', i % 5000,
        CASE WHEN i % 3 = 0 THEN jsonb_build_array(jsonb_build_object('id', 1, 'command', 'uname -a', 'service', 'ssh',
            'decky', 'decky-1', 'timestamp', '2026-01-01T00:00:00Z')) ELSE '[]' END
    FROM generate_series(1, 200000) i;
INSERT INTO attacker_session (sid, attacker_uuid, src_ip, decky, service, origin, origin_session, started_at,
    last_event_at, ended_at, commands, pending, source_id)
    SELECT pg_temp.u('e', i), pg_temp.u('a', pg_temp.who(i)), pg_temp.ip(pg_temp.who(i)), 'decky-' || i % 50,
        pg_temp.service(i), 'cowrie', to_hex(i), pg_temp.at(i * 5), pg_temp.at(i * 5), pg_temp.at(i * 5), 2,
        i % 1000 = 0, 'source'
    FROM generate_series(1, 200000) i;
INSERT INTO session_command (sid, ordinal, ts, command, source_event_id)
    SELECT pg_temp.u('e', i / 2), i % 2, pg_temp.at(i * 2), 'wget http://203.0.113.' || i % 250 || '/x',
        pg_temp.u('f', i)
    FROM generate_series(2, 400001) i;
INSERT INTO logs ("timestamp", decky, service, event_type, attacker_ip, raw_line, fields, msg, source_event_id)
    SELECT pg_temp.at(i), 'decky-' || i % 50, pg_temp.service(i),
        (ARRAY['session_recorded', 'file_captured', 'mail_stored', 'message_stored', 'login', 'command', 'command',
            'connect', 'connect', 'disconnect'])[i % 20 / 2 + 1],
        pg_temp.ip(pg_temp.who(i)), 'line ' || i || ' of the log of a sensor, with some text behind it',
        CASE WHEN i % 20 < 2 THEN jsonb_build_object('sid', pg_temp.u('e', i / 10 + 1), 'shard_path', '/x')
            ELSE jsonb_build_object('username', 'root', 'command', 'id') END,
        'a message', pg_temp.u('b', i)
    FROM generate_series(1, 1000000) i;
INSERT INTO bounty ("timestamp", decky, service, attacker_ip, bounty_type, payload)
    SELECT pg_temp.at(i * 3), 'decky-' || i % 50, pg_temp.service(i), pg_temp.ip(pg_temp.who(i)),
        CASE WHEN i % 100 < 2 THEN 'artifact'
            ELSE (ARRAY['fingerprint', 'ip_leak', 'probe_relay', 'credential'])[i / 2 % 4 + 1] END,
        jsonb_build_object('hash', md5(i::text), 'fingerprint_type', 'ja3')
    FROM generate_series(1, 300000) i;
INSERT INTO credentials (attacker_ip, attacker_uuid, decky_name, service, principal, secret_sha256, secret_printable,
    outcome, first_seen, last_seen)
    SELECT pg_temp.ip(pg_temp.who(i)), CASE WHEN i % 10 > 1 THEN pg_temp.u('a', pg_temp.who(i)) END,
        'decky-' || i % 50, pg_temp.service(i), CASE WHEN i % 9 > 0 THEN 'root' END,
        md5((i * 31 % 50000)::text), 'pw' || i, 'failure', pg_temp.at(i * 3), pg_temp.at(i * 3)
    FROM generate_series(1, 300000) i ON CONFLICT DO NOTHING;
INSERT INTO attacker_evidence (attacker_uuid, kind, value, first_seen, last_seen)
    SELECT pg_temp.u('a', i), 'hassh', md5(i::text), pg_temp.at(i), pg_temp.at(i) FROM generate_series(1, 200000) i;
INSERT INTO attacker_intel (attacker_uuid, attacker_ip, abuseipdb_score, aggregate_verdict, cached_at, expires_at)
    SELECT pg_temp.u('a', i * 2), pg_temp.ip(i * 2), i % 100, 'malicious', pg_temp.at(i),
        decnet_now() + CASE WHEN i % 100 = 0 THEN -i ELSE i END * interval '1 minute'
    FROM generate_series(1, 100000) i;
INSERT INTO ttp_tag (uuid, source_kind, source_id, attacker_uuid, identity_uuid, session_id, decky_id, tactic,
    technique_id, sub_technique_id, confidence, rule_id, rule_version, evidence, attack_release, created_at, observed_at)
    SELECT pg_temp.u('1', i), 'command', 'source-' || i / 4, pg_temp.u('a', pg_temp.who(i)),
        CASE WHEN i % 50 = 0 THEN pg_temp.u('d', i / 50 % 100000 + 1) END, pg_temp.u('e', i % 200000 + 1)::text,
        'decky-' || i % 50, 'TA00' || lpad((i % 14)::text, 2, '0'), 'T1' || lpad((i / 2 % 200)::text, 3, '0'),
        CASE WHEN i % 3 = 0 THEN 'T1' || lpad((i / 2 % 200)::text, 3, '0') || '.001' END, 0.3 + i % 70 / 100.0,
        'R' || lpad((i % 60)::text, 4, '0'), 1, '{"command_text": "uname -a"}', 'v19.1', pg_temp.at(i / 2),
        pg_temp.at(i / 2)
    FROM generate_series(1, 2000000) i;
INSERT INTO credential_reuse (id, secret_sha256, secret_kind, principal, principal_key, target_count, attempt_count,
    last_seen)
    SELECT pg_temp.u('2', i), md5(i::text), 'plaintext', 'root', 'root', i % 20, i % 90, pg_temp.at(i)
    FROM generate_series(1, 50000) i;
INSERT INTO attacker_fingerprint_state (attacker_uuid, port, probe_type, last_hash, last_seen)
    SELECT pg_temp.u('a', i), 22, 'hassh', md5(i::text), pg_temp.at(i) FROM generate_series(1, 50000) i;
INSERT INTO attacker_behavior (attacker_uuid, os_guess, updated_at)
    SELECT pg_temp.u('a', i), 'linux', pg_temp.at(i) FROM generate_series(1, 100000) i;
INSERT INTO smtp_targets (attacker_uuid, domain, first_seen, last_seen)
    SELECT pg_temp.u('a', i % 20000 + 1), 'd' || i / 20000 || '.example', pg_temp.at(i), pg_temp.at(i)
    FROM generate_series(0, 99999) i;
INSERT INTO observations (id, primitive, value, confidence, window_start_ts, window_end_ts, source, evidence_ref,
    envelope_v, ts, attacker_uuid)
    SELECT pg_temp.u('3', i), 'primitive.' || i % 10, to_jsonb('value ' || i % 7), 0.5, i, i + 1, 'source',
        'evidence-' || i / 10, 1, i, pg_temp.u('a', pg_temp.who(i / 10))
    FROM generate_series(1, 500000) i;
INSERT INTO observed_attachments (sha256, first_seen, last_seen)
    SELECT md5(i::text), pg_temp.at(i), pg_temp.at(i) FROM generate_series(1, 50000) i;
INSERT INTO attribution_state (identity_uuid, primitive, current_value, state, confidence, observation_count,
    last_change_ts, last_observation_ts)
    SELECT pg_temp.u('d', i / 3), 'primitive.' || i % 3, '"value"',
        CASE WHEN i / 3 % 1000 = 1 THEN 'multi_actor' ELSE 'stable' END, 0.5, 5, i, i
    FROM generate_series(3, 300002) i;

INSERT INTO users (uuid, username, password_hash, role)
    SELECT pg_temp.u('4', i), 'user-' || i, 'x', 'admin' FROM generate_series(1, 20) i;
INSERT INTO state (key, value) SELECT 'key-' || i, '{}' FROM generate_series(1, 50) i;
INSERT INTO ttp_rule (rule_id, rule_version, source_path, yaml_content, updated_by)
    SELECT 'R' || lpad(i::text, 4, '0'), 1, 'x', 'x', 'x' FROM generate_series(0, 59) i;
INSERT INTO swarm_hosts (uuid, name, address, client_cert_fingerprint, cert_bundle_path)
    SELECT pg_temp.u('5', i), 'host-' || i, '192.0.2.1', 'fingerprint-' || i, '/x' FROM generate_series(1, 2000) i;
INSERT INTO decky_shards (decky_name, host_uuid, state)
    SELECT 'decky-' || i, pg_temp.u('5', i % 200 + 1), 'running' FROM generate_series(1, 5000) i;
INSERT INTO fleet_deckies (host_uuid, name, state)
    SELECT pg_temp.u('5', i % 200 + 1)::text, 'decky-' || i, CASE WHEN i % 2 = 0 THEN 'running' ELSE 'failed' END
    FROM generate_series(1, 5000) i;
INSERT INTO topologies (id, name, status, created_at, needs_resync)
    SELECT pg_temp.u('6', i), 'topology-' || i,
        CASE WHEN i % 50 = 0 THEN 'active' WHEN i % 3 = 0 THEN 'torn_down' ELSE 'pending' END, pg_temp.at(i), i % 500 = 0
    FROM generate_series(1, 5000) i;
INSERT INTO lans (id, topology_id, name, subnet)
    SELECT pg_temp.u('7', i), pg_temp.u('6', (i + 3) / 4), 'lan-' || i % 4, '10.0.0.0/24'
    FROM generate_series(1, 20000) i;
INSERT INTO topology_deckies (uuid, topology_id, name, state)
    SELECT pg_temp.u('8', i), pg_temp.u('6', (i + 9) / 10), 'decky-' || i % 10,
        CASE WHEN i % 500 = 0 THEN 'running' ELSE 'pending' END
    FROM generate_series(1, 50000) i;
-- Every decky on the first LAN of its topology, and every other one on the second as well.
INSERT INTO topology_edges (id, topology_id, decky_uuid, lan_id)
    SELECT pg_temp.u('9', i), pg_temp.u('6', (i + 9) / 10), pg_temp.u('8', i), pg_temp.u('7', (i + 9) / 10 * 4 - 3)
    FROM generate_series(1, 50000) i;
INSERT INTO topology_edges (id, topology_id, decky_uuid, lan_id)
    SELECT pg_temp.u('9', 50000 + i), pg_temp.u('6', (i + 9) / 10), pg_temp.u('8', i),
        pg_temp.u('7', (i + 9) / 10 * 4 - 2)
    FROM generate_series(2, 50000, 2) i;
INSERT INTO topology_status_events (topology_id, from_status, to_status, at)
    SELECT pg_temp.u('6', i % 5000 + 1), 'pending', 'deploying', pg_temp.at(i) FROM generate_series(1, 50000) i;
INSERT INTO topology_mutations (id, topology_id, op, state, requested_at)
    SELECT pg_temp.u('0', i), pg_temp.u('6', i % 5000 + 1), 'add_lan',
        CASE WHEN i % 100 = 0 THEN 'pending' ELSE 'applied' END, pg_temp.at(i)
    FROM generate_series(1, 50000) i;
INSERT INTO webhook_subscriptions (uuid, name, url, secret)
    SELECT pg_temp.u('4', i), 'webhook-' || i, 'https://example', 'x' FROM generate_series(1, 50) i;
INSERT INTO canary_blobs (uuid, sha256, filename, content_type, size_bytes, uploaded_by, uploaded_at)
    SELECT pg_temp.u('a', i), md5(i::text), 'x.pdf', 'application/pdf', 5, 'admin', pg_temp.at(i)
    FROM generate_series(1, 2000) i;
INSERT INTO canary_tokens (uuid, kind, decky_name, topology_id, blob_uuid, placement_path, callback_token, secret_seed,
    placed_at, created_by, state)
    SELECT pg_temp.u('b', i), CASE WHEN i % 2 = 0 THEN 'http' ELSE 'dns' END, 'decky-' || i % 1000,
        CASE WHEN i % 5 = 0 THEN pg_temp.u('6', i / 5) END, CASE WHEN i % 50 = 0 THEN pg_temp.u('a', i / 50) END, '/x',
        'slug-' || i, 'x', pg_temp.at(i), 'admin', CASE WHEN i % 40 = 0 THEN 'revoked' ELSE 'planted' END
    FROM generate_series(1, 20000) i;
INSERT INTO canary_triggers (uuid, token_uuid, occurred_at, src_ip)
    SELECT pg_temp.u('c', i), pg_temp.u('b', i % 20000 + 1), pg_temp.at(i * 5), pg_temp.ip(i)
    FROM generate_series(1, 200000) i;
INSERT INTO orchestrator_events (ts, kind, protocol, action, dst_decky_uuid, success)
    SELECT pg_temp.at(i * 3), CASE WHEN i % 3 = 0 THEN 'file' ELSE 'traffic' END, 'ssh', 'x',
        'decky-' || i % 500, i % 200 <> 0
    FROM generate_series(1, 300000) i;
INSERT INTO orchestrator_emails (ts, mail_decky_uuid, thread_id, message_id, sender_email, recipient_email, subject,
    eml_path, success)
    SELECT pg_temp.at(i * 5), 'decky-' || i % 50, 'thread-' || i / 10, 'm' || i,
        'p' || i / 50 % 20 || '@example', 'p' || i / 1000 % 20 || '@example', 'x', '/x', i % 200 <> 0
    FROM generate_series(1, 200000) i;
INSERT INTO synthetic_files (uuid, decky_uuid, path, persona, content_class, created_at, last_modified, content_hash)
    SELECT pg_temp.u('d', i), 'decky-' || i % 500, '/home/' || i, 'persona-' || i % 5, 'class-' || i % 7,
        pg_temp.at(i), decnet_now() - i * interval '10 seconds', md5(i::text)
    FROM generate_series(1, 100000) i;
INSERT INTO realism_config (key) SELECT 'key-' || i FROM generate_series(1, 20) i;
INSERT INTO tarpit_rules (decky_name, ports, delay_ms, created_by)
    SELECT 'decky-' || i, '[22]', 100, 'admin' FROM generate_series(1, 5000) i;

SET LOCAL maintenance_work_mem = '128MB';
DO $$
DECLARE d text;
BEGIN
    FOR d IN SELECT definition FROM later LOOP
        EXECUTE d;
    END LOOP;
END $$;
COMMIT;
VACUUM (ANALYZE);
