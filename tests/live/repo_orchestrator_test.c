/* Events and mails of the orchestrator. */
#include "repo_support.h"
