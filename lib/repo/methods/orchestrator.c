/* Events and mails of the orchestrator. */
#include "methods.h"
