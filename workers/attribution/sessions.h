/* Sessions to observations: the extractor over what an event or the database has of a session. */
#pragma once

#include "attribution/extractor.h"
#include "repo/repo.h"

/* The observations that the event's session supports. A session that came in one part is in the event as a whole; of
 * others all commands up to the end of this part are read from session_command, so that the observations of the last
 * part, which replace those of earlier ones, rest on all of them.
 *
 * @attacker   the row that the session's attacker has
 * @ret        lives in @arena
 * @ret_ignored commands beyond LIMIT_EXTRACT_COMMANDS
 *
 * Hands on REPO_E_*. */
int session_observe(Repo *repo, Arena *arena, const SessionEnded *event, const Uuid *attacker,
                    Observation ret[EXTRACTOR_PRIMITIVES], size_t *ret_n, size_t *ret_ignored) must_check;

/* Commands of a session as they are stored, up to @until_us, into an extractor; in pages. */
int session_extract_stored(Repo *repo, Extractor *x, const Uuid *sid, int64_t until_us) must_check;
