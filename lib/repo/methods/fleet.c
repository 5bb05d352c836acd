/* Deckies of the fleet, and all deckies that run. */
#include "methods.h"
