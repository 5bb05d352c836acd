/* What one attacker did: commands, artifacts, transcripts, mail, leaks. */
#include "methods.h"
