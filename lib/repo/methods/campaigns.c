/* Campaigns: identities that act together. */
#include "methods.h"
