/* Webhook subscriptions and their circuits. */
#include "repo_support.h"
