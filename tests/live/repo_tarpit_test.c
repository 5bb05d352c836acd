/* Tarpit rules. */
#include "repo_support.h"
