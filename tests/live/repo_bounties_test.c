/* Bounties: lists, counts, fingerprints, and the purge of logs and bounties. */
#include "repo_support.h"
