-- The decoys themselves: hosts, shards, fleet, topologies and their changes, webhooks, canaries, the life that is
-- played in them, tarpits.

CREATE TABLE swarm_hosts (
    uuid                     uuid PRIMARY KEY,
    name                     text NOT NULL,
    address                  text NOT NULL,
    agent_port               integer NOT NULL DEFAULT 8765,
    status                   text NOT NULL DEFAULT 'enrolled',
    last_heartbeat           timestamptz,
    client_cert_fingerprint  text NOT NULL,
    updater_cert_fingerprint text,
    cert_bundle_path         text NOT NULL,
    enrolled_at              timestamptz NOT NULL DEFAULT decnet_now(),
    notes                    text,
    use_ipvlan               boolean NOT NULL DEFAULT false,
    CONSTRAINT uq_swarm_hosts_name UNIQUE (name)
);
CREATE INDEX ix_swarm_hosts_fingerprint ON swarm_hosts (client_cert_fingerprint);

CREATE TABLE decky_shards (
    decky_name   text PRIMARY KEY,
    host_uuid    uuid NOT NULL REFERENCES swarm_hosts (uuid) ON DELETE CASCADE,
    services     jsonb NOT NULL DEFAULT '[]',
    decky_config jsonb,
    decky_ip     text,
    state        text NOT NULL DEFAULT 'pending',
    last_error   text,
    compose_hash text,
    last_seen    timestamptz,
    updated_at   timestamptz NOT NULL DEFAULT decnet_now()
) WITH (fillfactor = 85);
CREATE INDEX ix_decky_shards_host_uuid ON decky_shards (host_uuid);

CREATE TABLE fleet_deckies (
    host_uuid    text NOT NULL DEFAULT 'local',
    name         text NOT NULL,
    services     jsonb NOT NULL DEFAULT '[]',
    decky_config jsonb,
    decky_ip     text,
    state        text NOT NULL DEFAULT 'pending',
    last_error   text,
    compose_hash text,
    last_seen    timestamptz,
    updated_at   timestamptz NOT NULL DEFAULT decnet_now(),
    PRIMARY KEY (host_uuid, name)
) WITH (fillfactor = 85);
CREATE INDEX ix_fleet_deckies_name ON fleet_deckies (name);

CREATE TABLE topologies (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name              text NOT NULL,
    mode              text NOT NULL DEFAULT 'unihost',
    target_host_uuid  uuid REFERENCES swarm_hosts (uuid),
    config_snapshot   json NOT NULL DEFAULT '{}',
    status            text NOT NULL DEFAULT 'pending',
    status_changed_at timestamptz NOT NULL DEFAULT decnet_now(),
    created_at        timestamptz NOT NULL DEFAULT decnet_now(),
    version           integer NOT NULL DEFAULT 1,
    needs_resync      boolean NOT NULL DEFAULT false,
    email_personas    text NOT NULL DEFAULT '[]',
    language_default  text NOT NULL DEFAULT 'en',
    CONSTRAINT uq_topologies_name UNIQUE (name)
);
CREATE INDEX ix_topologies_created_at ON topologies (created_at DESC, id);
CREATE INDEX ix_topologies_target_host_uuid ON topologies (target_host_uuid) WHERE target_host_uuid IS NOT NULL;
CREATE INDEX ix_topologies_needs_resync ON topologies (created_at, id) WHERE needs_resync;

CREATE TABLE lans (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    topology_id       uuid NOT NULL REFERENCES topologies (id) ON DELETE CASCADE,
    name              text NOT NULL,
    docker_network_id text,
    subnet            text NOT NULL,
    is_dmz            boolean NOT NULL DEFAULT false,
    x                 double precision,
    y                 double precision,
    CONSTRAINT uq_lan_topology_name UNIQUE (topology_id, name)
);

CREATE TABLE topology_deckies (
    uuid         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    topology_id  uuid NOT NULL REFERENCES topologies (id) ON DELETE CASCADE,
    name         text NOT NULL,
    services     jsonb NOT NULL DEFAULT '[]',
    decky_config json,
    ip           text,
    state        text NOT NULL DEFAULT 'pending',
    last_error   text,
    compose_hash text,
    last_seen    timestamptz,
    updated_at   timestamptz NOT NULL DEFAULT decnet_now(),
    x            double precision,
    y            double precision,
    CONSTRAINT uq_topology_decky_name UNIQUE (topology_id, name)
) WITH (fillfactor = 85);
CREATE INDEX ix_topology_deckies_state ON topology_deckies (topology_id, name) WHERE state = 'running';

CREATE TABLE topology_edges (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    topology_id uuid NOT NULL REFERENCES topologies (id) ON DELETE CASCADE,
    decky_uuid  uuid NOT NULL REFERENCES topology_deckies (uuid) ON DELETE CASCADE,
    lan_id      uuid NOT NULL REFERENCES lans (id) ON DELETE CASCADE,
    is_bridge   boolean NOT NULL DEFAULT false,
    forwards_l3 boolean NOT NULL DEFAULT false
);
CREATE INDEX ix_topology_edges_topology_id ON topology_edges (topology_id, id);
CREATE INDEX ix_topology_edges_decky_uuid ON topology_edges (decky_uuid);
CREATE INDEX ix_topology_edges_lan_id ON topology_edges (lan_id);

CREATE TABLE topology_status_events (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    topology_id uuid NOT NULL REFERENCES topologies (id) ON DELETE CASCADE,
    from_status text NOT NULL,
    to_status   text NOT NULL,
    at          timestamptz NOT NULL DEFAULT decnet_now(),
    reason      text
);
CREATE INDEX ix_topology_status_events_topology ON topology_status_events (topology_id, at DESC, id DESC);

CREATE TABLE topology_mutations (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    topology_id  uuid NOT NULL REFERENCES topologies (id) ON DELETE CASCADE,
    op           text NOT NULL,
    payload      json NOT NULL DEFAULT '{}',
    state        text NOT NULL DEFAULT 'pending',
    requested_at timestamptz NOT NULL DEFAULT decnet_now(),
    applied_at   timestamptz,
    reason       text,
    -- who works on it, and since when: a claim that grew old can be taken by another
    claimed_at   timestamptz,
    claimed_by   text
);
CREATE INDEX ix_topology_mutations_open ON topology_mutations (topology_id, requested_at, id)
    INCLUDE (state, claimed_at) WHERE state IN ('pending', 'applying');
CREATE INDEX ix_topology_mutations_topology_id ON topology_mutations (topology_id, requested_at DESC, id DESC);

CREATE TABLE webhook_subscriptions (
    uuid                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name                 text NOT NULL,
    url                  text NOT NULL,
    secret               text NOT NULL,
    topic_patterns       jsonb NOT NULL DEFAULT '[]',
    enabled              boolean NOT NULL DEFAULT true,
    consecutive_failures integer NOT NULL DEFAULT 0,
    last_success_at      timestamptz,
    last_failure_at      timestamptz,
    last_error           text,
    auto_disabled_at     timestamptz,
    created_at           timestamptz NOT NULL DEFAULT decnet_now(),
    updated_at           timestamptz NOT NULL DEFAULT decnet_now(),
    CONSTRAINT uq_webhook_subscriptions_name UNIQUE (name)
) WITH (fillfactor = 85);

CREATE TABLE canary_blobs (
    uuid         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    sha256       text NOT NULL,
    filename     text NOT NULL,
    content_type text NOT NULL,
    size_bytes   bigint NOT NULL,
    uploaded_by  text NOT NULL,
    uploaded_at  timestamptz NOT NULL DEFAULT decnet_now(),
    CONSTRAINT uq_canary_blobs_sha256 UNIQUE (sha256)
);

CREATE TABLE canary_tokens (
    uuid              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind              text NOT NULL,
    decky_name        text NOT NULL,
    topology_id       uuid,
    blob_uuid         uuid REFERENCES canary_blobs (uuid),
    instrumenter      text,
    generator         text,
    placement_path    text NOT NULL,
    callback_token    text NOT NULL,
    secret_seed       text NOT NULL,
    placed_at         timestamptz NOT NULL DEFAULT decnet_now(),
    last_triggered_at timestamptz,
    trigger_count     bigint NOT NULL DEFAULT 0,
    created_by        text NOT NULL,
    state             text NOT NULL DEFAULT 'planted',
    last_error        text,
    fingerprint_nonce text,
    CONSTRAINT uq_canary_tokens_callback_token UNIQUE (callback_token)
) WITH (fillfactor = 85);
CREATE INDEX ix_canary_tokens_slug_lower ON canary_tokens (lower(callback_token));
CREATE INDEX ix_canary_tokens_decky ON canary_tokens (decky_name, placed_at DESC, uuid);
CREATE INDEX ix_canary_tokens_blob_uuid ON canary_tokens (blob_uuid) WHERE blob_uuid IS NOT NULL;
CREATE INDEX ix_canary_tokens_topology_id ON canary_tokens (topology_id) WHERE topology_id IS NOT NULL;
CREATE INDEX ix_canary_tokens_placed_at ON canary_tokens (placed_at DESC, uuid);

CREATE TABLE canary_triggers (
    uuid         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    token_uuid   uuid NOT NULL REFERENCES canary_tokens (uuid),
    occurred_at  timestamptz NOT NULL DEFAULT decnet_now(),
    src_ip       text NOT NULL,
    user_agent   text,
    request_path text,
    dns_qname    text,
    raw_headers  json NOT NULL DEFAULT '{}',
    attacker_id  uuid
);
CREATE INDEX ix_canary_triggers_token_ts ON canary_triggers (token_uuid, occurred_at DESC, uuid DESC);
CREATE INDEX ix_canary_triggers_occurred_at ON canary_triggers (occurred_at, uuid);

CREATE TABLE orchestrator_events (
    uuid           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    ts             timestamptz NOT NULL DEFAULT decnet_now(),
    kind           text NOT NULL,
    protocol       text NOT NULL,
    action         text NOT NULL,
    src_decky_uuid text,
    dst_decky_uuid text NOT NULL,
    success        boolean NOT NULL DEFAULT false,
    payload        jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ix_orchestrator_events_dst_ts ON orchestrator_events (dst_decky_uuid, ts DESC, uuid DESC);
CREATE INDEX ix_orchestrator_events_ts ON orchestrator_events (ts DESC, uuid DESC);
CREATE INDEX ix_orchestrator_events_kind ON orchestrator_events (kind, ts DESC, uuid DESC);
CREATE INDEX ix_orchestrator_events_failed ON orchestrator_events (ts) WHERE NOT success;

CREATE TABLE orchestrator_emails (
    uuid            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    ts              timestamptz NOT NULL DEFAULT decnet_now(),
    mail_decky_uuid text NOT NULL,
    thread_id       text NOT NULL,
    message_id      text NOT NULL,
    in_reply_to     text,
    sender_email    text NOT NULL,
    recipient_email text NOT NULL,
    subject         text NOT NULL,
    language        text NOT NULL DEFAULT 'en',
    eml_path        text NOT NULL,
    success         boolean NOT NULL DEFAULT false,
    payload         jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ix_orchestrator_emails_mail_ts ON orchestrator_emails (mail_decky_uuid, ts DESC, uuid DESC);
CREATE INDEX ix_orchestrator_emails_thread ON orchestrator_emails (thread_id, ts DESC, uuid DESC);
CREATE INDEX ix_orchestrator_emails_ts ON orchestrator_emails (ts DESC, uuid DESC);
CREATE INDEX ix_orchestrator_emails_failed ON orchestrator_emails (ts) WHERE NOT success;

CREATE TABLE synthetic_files (
    uuid          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    decky_uuid    text NOT NULL,
    path          text NOT NULL,
    persona       text NOT NULL,
    content_class text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT decnet_now(),
    last_modified timestamptz NOT NULL DEFAULT decnet_now(),
    edit_count    integer NOT NULL DEFAULT 0,
    content_hash  text NOT NULL,
    last_body     text NOT NULL DEFAULT '',
    CONSTRAINT uq_synthetic_files_decky_path UNIQUE (decky_uuid, path)
);
CREATE INDEX ix_synthetic_files_decky_modified ON synthetic_files (decky_uuid, last_modified DESC, uuid DESC);
CREATE INDEX ix_synthetic_files_modified ON synthetic_files (last_modified DESC, uuid DESC);

CREATE TABLE realism_config (
    uuid       uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    key        text NOT NULL,
    value      text NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT decnet_now(),
    CONSTRAINT uq_realism_config_key UNIQUE (key)
);

CREATE TABLE tarpit_rules (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    decky_name text NOT NULL,
    ports      jsonb NOT NULL,
    delay_ms   integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT decnet_now(),
    created_by text NOT NULL,
    CONSTRAINT uq_tarpit_rules_decky_name UNIQUE (decky_name)
);
