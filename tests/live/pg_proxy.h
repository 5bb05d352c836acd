/* A door between a program and PostgreSQL that a test can shut: at once, or exactly when a transaction is committed. */
#pragma once

#include "base/text.h"

typedef struct PgProxy PgProxy;

typedef enum PgCut {
    PG_CUT_BEFORE, /* COMMIT never reaches the server */
    PG_CUT_AFTER,  /* it does and is answered, but the answer never reaches the program */
} PgCut;

/* Serves a socket in a folder of its own, from a thread of this process. harness_pg_start() first. */
PgProxy *pg_proxy_start(void);
void pg_proxy_stop(PgProxy *p); /* accepts NULL */
/* The folder, for `host=` of a connection string; borrowed. */
const char *pg_proxy_folder(const PgProxy *p);

/* Shut: connections break and new ones are refused. Open again: they are served. */
void pg_proxy_shut(PgProxy *p, bool shut);
/* Connections that are there stay, new ones are refused. */
void pg_proxy_refuse(PgProxy *p, bool refuse);
/* Break the connection at the next COMMIT of a transaction that used the statement @name; once. */
void pg_proxy_cut_commit(PgProxy *p, PgCut cut, const char *name);
/* How many commits were cut. */
int pg_proxy_cuts(PgProxy *p);
