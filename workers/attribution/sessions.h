/* Sessions to observations: the extractor over what an event or the database has of a session. */
#pragma once

#include "attribution/extractor.h"
#include "repo/observations.h"
#include "repo/sessions.h"

/* The observations that the event's session supports. A session that came in one part is in the event as a whole; of
 * others all commands up to the end of this part are read from session_command, so that the observations of the last
 * part, which replace those of earlier ones, rest on all of them.
 *
 * @attacker   the row that the session's attacker has
 * @ret        lives in @arena
 * @ret_ignored commands beyond LIMIT_EXTRACT_COMMANDS, or LIMIT_EVENT_COMMANDS of one event
 *
 * Hands on REPO_E_*. */
int session_observe(Repo *repo, Arena *arena, const SessionEnded *event, const Uuid *attacker,
                    Observation ret[EXTRACTOR_PRIMITIVES], size_t *ret_n, size_t *ret_ignored) must_check;

/* The same from the row of an announced session: what its last event gave, or would have given. */
int session_observe_stored(Repo *repo, Arena *arena, const StoredSession *row, Observation ret[EXTRACTOR_PRIMITIVES],
                           size_t *ret_n, size_t *ret_ignored) must_check;

/* The row that stores an observation. */
StoredObservation observation_row(const Observation *o);

/* As worker_emit() and outbox_add(); the texts are borrowed during the call. */
typedef void ObservationSend(void *to, const char *topic, Str decnet_topic, const Uuid *event_id, Str key, Str payload);
/* Send those of @observations that are not stored as they are here: what is has been told before. NULL for @send only
 * counts them. Hands on REPO_E_*. */
int observations_send_news(Repo *repo, Arena *arena, const Observation *observations, size_t n, ObservationSend *send,
                           void *to, size_t *ret_n) must_check;
