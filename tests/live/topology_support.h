/* What the tests of topologies share: making them and their parts, and looking at lists and races. */
#pragma once

#include "repo_support.h"

#define UNKNOWN "00000000-0000-4000-8000-00000000dead" /* an id that no row has */
extern const char *const nobody[3];

/* An id that is good for the whole test; releases @id. */
const char *keep(json_object *id);
/* Ids of new rows. */
const char *topology(const char *name);
const char *lan(const char *of, const char *name);
const char *decky(const char *of, const char *name);
const char *edge(const char *of, const char *of_decky, const char *of_lan);

void set_status(const char *of, const char *status);
int64_t version(const char *of);
int64_t parts_of(const char *id); /* rows that belong to a topology */

/* Of a list, the members @key of its rows, one after the other; releases @list. */
void expect_list(json_object *list, const char *key, const char *want);
void expect_detail(const char *want);
/* After hammer_all(). A deadlock is mended by another try, so only the server knows; a session reports it when it ends at
 * the latest. */
void expect_no_deadlock(void);
