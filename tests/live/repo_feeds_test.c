/* What the tagger catches up on, and phases of deckies. */
#include "repo_support.h"
