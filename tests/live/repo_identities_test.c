/* Identities: who is the same pair of hands. */
#include "repo_support.h"
