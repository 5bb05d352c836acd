/* Canary blobs, tokens and triggers. */
#include "methods.h"
