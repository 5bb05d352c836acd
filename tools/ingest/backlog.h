/* Keeps the ingest from outrunning the embedded broker, which forgets the oldest 5 MiB of a partition silently: no more
 * than LIMIT_BACKLOG_BYTES unread by a registered group. On a real Kafka the gate is always open. */
#pragma once

#include "repo/repo.h"
#include "worker/outbox.h"

typedef struct Backlog Backlog;

/* All borrowed. The gate is for outbox_set_gate(outbox, backlog_gate, backlog). */
Backlog *backlog_new(const Config *config, Repo *repo, Outbox *outbox);
void backlog_free(Backlog *b); /* accepts NULL */
bool backlog_gate(void *backlog, const BusTopic *topic, Str key, size_t bytes);
/* True while the gate is closed: somebody has to read first. */
bool backlog_is_blocking(const Backlog *b);
/* True while the broker has never answered: the gate is closed until it does, because it may be the embedded one. It is
 * asked again every few seconds, or at once after backlog_ask_again(). */
bool backlog_is_silent(const Backlog *b);
void backlog_ask_again(Backlog *b);
/* Once: the embedded broker is fed and no worker has registered for @topic; what it forgets is lost. */
bool backlog_nobody_reads(Backlog *b);
