/* Synthetic files and the configuration of realism. */
#include "methods.h"
