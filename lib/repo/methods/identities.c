/* Identities: who is the same pair of hands. */
#include "methods.h"
