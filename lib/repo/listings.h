/* What an operator asks for: the tags of somebody, what waits in the outbox, who is paused. Read-only, in the caller's
 * transaction or none; rows live in @arena. */
#pragma once

#include "repo.h"

/* Who is meant by a word that a person typed. */
typedef struct TagScope {
    enum { SCOPE_NOBODY, SCOPE_ATTACKER, SCOPE_SESSION } kind;
    Uuid uuid; /* of the attacker */
    Str name;  /* the attacker's address; the session's id as tags carry it */
} TagScope;
/* An address, the uuid of an attacker, the id of a session, or the id that the honeypot gave a session (the newest one
 * of that id). SCOPE_NOBODY when nothing is known by that word. */
int tag_scope_find(Repo *repo, Arena *arena, Str word, TagScope *ret) must_check;

typedef struct ListedTag {
    int64_t observed_at_us; /* TIME_NONE unknown */
    Str technique_id, sub_technique_id, tactic, rule_id, source_kind, session_id;
    int64_t rule_version;
    double confidence;
    Str example; /* the command as the attacker typed it: mask before showing; absent: none */
    Str uuid;
} ListedTag;
/* The newest @limit tags of @scope, oldest first; *ret_total says how many there are. */
int tag_list(Repo *repo, Arena *arena, const TagScope *scope, int64_t limit, ListedTag **ret, size_t *ret_n,
             int64_t *ret_total) must_check;

typedef struct OutboxProducer {
    Str producer;
    int64_t rows, events, bytes;
    double oldest_s; /* age of the oldest row */
} OutboxProducer;
int outbox_list(Repo *repo, Arena *arena, OutboxProducer **ret, size_t *ret_n) must_check;

typedef struct PausedGroup {
    Str group, reason;
    int64_t since_us;
} PausedGroup;
int pause_list(Repo *repo, Arena *arena, PausedGroup **ret, size_t *ret_n) must_check;
