/* Credentials: lists, attempts of one secret, and their reuse. */
#include "methods.h"
