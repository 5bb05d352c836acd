/* What one attacker did: commands, artifacts, transcripts, mail, leaks. */
#include "repo_support.h"
