/* What the database holds of the sessions in memory, as far as this ingester knows: if another one wrote such a row
 * meanwhile, ours is stale and must not be written over it. */
#pragma once

#include "repo/sessions.h"

typedef struct Stored Stored;

Stored *stored_new(void);
void stored_free(Stored *all); /* accepts NULL */

/* @row is what the database has: it was read, or is written by the transaction at hand. */
void stored_note(Stored *all, const StoredSession *row);
/* For sessions_check(); false: nothing is known of it. */
bool stored_mark(const Stored *all, const Uuid *sid, SessionMark *ret);
/* Bounds memory: with @n_open sessions open or waiting, forgets the oldest of the others beyond some thousands. Those
 * may be in memory still, waiting for late lines, and are then written unchecked. */
void stored_settle(Stored *all, size_t n_open);
