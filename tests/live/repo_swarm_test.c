/* Hosts of the swarm and the shards of deckies on them. */
#include "repo_support.h"
