/* Observations: envelopes of attribution, idempotent on evidence and primitive. */
#include "repo_support.h"
