/* The large repository of load.sql on the server that DECNET_TEST_PG names (a superuser's connection string), for tests and
 * benchmarks. It takes minutes to make and nobody changes it for good, so it is made once for each schema and server. */
#pragma once

#include "repo/repo.h"

/* A connection to it as superuser, which never times out; makes it when it is not there. Ends the program, with a word on
 * stderr, when that fails. The caller frees. */
Repo *large_store(const char *application_name);
/* A database of this process alone, migrated and empty, on the same server. */
Repo *empty_store(const char *application_name);
