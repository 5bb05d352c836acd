/* The ttp worker as the runtime sees it. */
#pragma once

#include "worker/worker.h"

extern const WorkerSpec ttp_worker;
