/* Behaviour of attackers as the profiler stores it; SMTP targets; attachments that were seen. */
#include "methods.h"
