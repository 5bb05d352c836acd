/* `decnetctl repo` without arguments: requests from standard input, answers on standard output, until either ends. */
#pragma once

#include "decnetctl.h"

/* Returns the exit status. Whoever reads the answers may go away: that ends the session like the end of the input. */
int repo_session(Ctl *ctl);
