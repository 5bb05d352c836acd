/* Webhook subscriptions and their circuits. */
#include "methods.h"
