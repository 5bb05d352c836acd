#pragma once

#include "worker/worker.h"

extern const WorkerSpec attribution_worker;
