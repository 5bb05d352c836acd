/* What the tagger catches up on, and phases of deckies. */
#include "methods.h"
