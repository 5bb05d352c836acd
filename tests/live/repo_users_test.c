/* Users of the console, the key-value state, and what is set up once. */
#include "repo_support.h"
