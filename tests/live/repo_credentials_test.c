/* Credentials: lists, attempts of one secret, and their reuse. */
#include "repo_support.h"
