-- What the attribution worker keeps beside the tables of the interface.

-- Which merger judges a value, when the event said so; NULL: the registry of primitives knows.
ALTER TABLE observations ADD COLUMN value_kind text;

-- The newest end of the series in packed form (workers/attribution/pack.h), so that a new observation needs no look at the
-- old ones. NULL: unknown, to be read anew from the observations.
ALTER TABLE attribution_state ADD COLUMN series bytea;

-- Where something changed lately. It moves with the state, which an index has anyway: no update costs more.
CREATE INDEX ix_attribution_state_last_change ON attribution_state (last_change_ts);

-- Series that changed otherwise than by an observation of the worker's own: rows stored by others, attackers that moved to
-- another identity, merges. A queue: every change adds a row, the worker takes them away. An attacker stands for the
-- identity that it has by then; without a primitive all of them are meant.
CREATE TABLE attribution_dirty (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    identity_uuid uuid,
    attacker_uuid uuid,
    primitive     text,
    CHECK (num_nonnulls(identity_uuid, attacker_uuid) = 1)
);

-- The set of primitives that was announced last as the work of several hands.
CREATE TABLE multi_actor_announced (
    identity_uuid uuid PRIMARY KEY REFERENCES attacker_identities (uuid) ON DELETE CASCADE,
    primitives    text[] NOT NULL,
    announced_at  timestamptz NOT NULL DEFAULT decnet_now()
);

-- Sessions that were announced, in the order of their ends: observations of history are computed in it.
CREATE INDEX ix_attacker_session_announced ON attacker_session (ended_at, sid) WHERE parts_sent > 0 AND NOT pending;

-- Total order over all events of identities and campaigns.
CREATE SEQUENCE identity_event_seq;
