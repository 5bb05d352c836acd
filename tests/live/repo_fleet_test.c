/* Deckies of the fleet, and all deckies that run. */
#include "repo_support.h"
