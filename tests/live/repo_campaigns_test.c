/* Campaigns: identities that act together. */
#include "repo_support.h"
