/* Attribution state and the identities that stand in for attackers without one. */
#include "repo_support.h"
