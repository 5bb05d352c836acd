/* Hosts of the swarm and the shards of deckies on them. */
#include "methods.h"
