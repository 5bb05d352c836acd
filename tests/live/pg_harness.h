/* A database of its own for every test process, on the server that DECNET_TEST_PG names (the connection string of a
 * superuser on database postgres). It is migrated, carries the roles of deploy/roles.sql, and is never dropped: dropping
 * costs more than all else, and the server's folder goes as a whole. */
#pragma once

#include "base/text.h"

/* Creates the database of this process; fails the test when there is no server. */
void harness_pg_start(void);
/* The same without migrations and roles, for tests of exactly that. */
void harness_pg_start_empty(void);
/* The connection that this process keeps for the functions below; accepts that there is none. */
void harness_pg_stop(void);

/* Connection strings of the database: as superuser, as @role, or as @role through the socket folder @host. The caller
 * frees. */
char *harness_pg_conninfo(void);
char *harness_pg_conninfo_as(const char *role);
char *harness_pg_conninfo_through(const char *role, const char *host);
/* Folder of the server's socket; the caller frees. */
char *harness_pg_socket_folder(void);

/* SQL as superuser, search_path decnet. A statement that fails, fails the test. */
void harness_sql(const char *fmt, ...) printf_like(1, 2);
/* First column of the first row: a number (0 when NULL; no row fails), or text ("" when NULL or no row; the caller
 * frees). */
int64_t harness_sql_int(const char *fmt, ...) printf_like(1, 2);
char *harness_sql_text(const char *fmt, ...) printf_like(1, 2);
/* Ask again and again until the number is @want; false after @timeout_ms. */
bool harness_sql_wait(int64_t want, int timeout_ms, const char *fmt, ...) printf_like(3, 4);

/* decnet_now() of this database runs @seconds ahead of the server's clock from now on. */
void harness_pg_clock(double seconds);
