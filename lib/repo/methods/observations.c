/* Observations: envelopes of attribution, idempotent on evidence and primitive. */
#include "methods.h"
