/* libdecnet-repo: the repository of DECNET for programs in C and C++.
 *
 * Everything that DECNET keeps in PostgreSQL is read and written through some 200 methods. Each is a function here
 * (<decnet/repo_methods.h>, included below) and can be called by its name with parameters as JSON.
 *
 *     DecnetRepo *repo = decnet_repo_new("dbname=decnet", "reporter", 0);
 *     int64_t total;
 *     if (decnet_repo_get_total_attackers(repo, NULL, NULL, &total) != DECNET_REPO_OK)
 *         fprintf(stderr, "%s\n", decnet_repo_error(repo)->message);
 *     decnet_repo_free(repo);
 *
 * Outcomes. Functions that can fail return DECNET_REPO_OK, one of DECNET_REPO_E_..., or a negative errno value for what
 * has no class; decnet_repo_error() then tells more. A failed call stores nothing and gives no result.
 *
 * Transactions. A call alone is a transaction of its own, which is tried again up to three times after a deadlock or a
 * lost connection. Between decnet_repo_begin() and decnet_repo_commit(), or inside of decnet_repo_run(), it is part of
 * that transaction. The server ends transactions in which nothing happens for 15 seconds.
 *
 * Text is UTF-8. Texts that come back are allocated: release them with free(). Memory that runs out ends the process.
 *
 * Threads. A handle is used by one thread at a time; different handles are independent. */
#ifndef DECNET_REPO_H
#define DECNET_REPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DECNET_REPO_OK = 0,
    DECNET_REPO_E_RETRY = 1,    /* the database is away or busy, or others were in the way: try again later */
    DECNET_REPO_E_IN_DOUBT = 2, /* the answer to COMMIT was lost: look whether it happened before you repeat it */
    DECNET_REPO_E_FK = 4,       /* the row that it belongs to does not exist, or others still belong to it */
    DECNET_REPO_E_OPERATOR = 6, /* the database refuses, or lacks migrations; the hint says what to do */
    DECNET_REPO_E_INVALID =
        8, /* an unknown method, parameter or key; a value that is missing, wrong or out of bounds */
    DECNET_REPO_E_CONFLICT = 9,      /* another row with this key exists */
    DECNET_REPO_E_NOT_FOUND = 10,    /* the row to change does not exist */
    DECNET_REPO_E_VERSION = 11,      /* changed meanwhile; detail: current, expected */
    DECNET_REPO_E_NOT_EDITABLE = 12, /* the topology is deployed or gone; detail: status, reason */
    DECNET_REPO_E_ORPHAN = 13,       /* a decky would be left without a LAN; detail: lan, decky */
};

typedef struct DecnetRepo DecnetRepo;

/* What happened last; texts are never NULL, but may be empty. */
typedef struct DecnetRepoError {
    int code; /* what the function returned */
    const char
        *class_name;     /* "E_INVALID", ... as decnetctl repo names it; "E_DB" for what the database is to blame for */
    const char *method;  /* the method, or "connect", "begin", "commit" and so on */
    const char *message; /* for people */
    const char *sqlstate;    /* PostgreSQL's code, "" when there is none */
    const char *hint;        /* what can be done, "" when that is not known */
    const char *detail_json; /* an object with the particulars that a class promises, else "{}" */
} DecnetRepoError;

/* A handle without a connection: that is made when it is needed, and made again after it was lost.
 * @conninfo: libpq connection string or URI; NULL: libpq's environment variables and defaults.
 * @application_name: shown in pg_stat_activity; NULL: libdecnet-repo.
 * @statement_timeout_ms: PostgreSQL gives up a statement that takes longer; 0: never.
 * Never NULL. The texts are copied. */
DecnetRepo *decnet_repo_new(const char *conninfo, const char *application_name, int64_t statement_timeout_ms);

/* Rolls back what is open, disconnects and releases the handle. NULL is taken, too. */
void decnet_repo_free(DecnetRepo *repo);

/* Connects now, within 5 seconds, and makes sure that the schema is the one this library knows. Need not be called.
 * Nothing happens when the connection is there. E_RETRY, E_OPERATOR. */
int decnet_repo_connect(DecnetRepo *repo);

/* Closes the connection and rolls back what is open; the next call makes another one. */
void decnet_repo_disconnect(DecnetRepo *repo);

/* Whether there is a connection, as far as is known without asking the server. */
bool decnet_repo_is_connected(const DecnetRepo *repo);

/* The last failure of this handle. Good until its next function is called. */
const DecnetRepoError *decnet_repo_error(const DecnetRepo *repo);

/* Opens a transaction: calls belong to it until it is committed or rolled back. E_INVALID when one is open; E_RETRY,
 * E_OPERATOR. */
int decnet_repo_begin(DecnetRepo *repo);

/* Makes what happened since decnet_repo_begin() last. E_INVALID when nothing is open, or when a call inside has failed
 * in the database, after which nothing of the transaction can be kept: it is rolled back then. E_IN_DOUBT, E_RETRY. */
int decnet_repo_commit(DecnetRepo *repo);

/* Drops what happened since decnet_repo_begin(), whatever state it is in. The last error stays. */
void decnet_repo_rollback(DecnetRepo *repo);

/* Runs @fn in a transaction. It is committed when @fn returns 0, else rolled back, and what @fn returned is returned.
 * After DECNET_REPO_E_RETRY it runs again, up to three times: @fn must be able to. It must not begin, commit or roll
 * back, and no exception may leave it. Outcomes as decnet_repo_commit(). */
typedef int (*DecnetRepoWork)(DecnetRepo *repo, void *arg);
int decnet_repo_run(DecnetRepo *repo, DecnetRepoWork fn, void *arg);

/* Calls the method of that name. @params_json: an object with the parameters by name, NULL for none; 16 MiB at most. A
 * parameter that is left out has its default, which may be another than null. *ret_json: the result, release it with
 * free(); NULL after a failure. @ret_json NULL: the result is not wanted. */
int decnet_repo_call(DecnetRepo *repo, const char *method, const char *params_json, char **ret_json);

/* One item as JSON text, which is good until it returns. Anything but 0 ends the walk; use negative values below -4095
 * or positive ones from 1000 on to tell them from outcomes. It must not use the handle, and no exception may
 * leave it. */
typedef int (*DecnetRepoItem)(void *arg, const char *item_json);

/* Hands the items of a method that iterates, or of a list without a bound, one by one to @fn, in constant memory, out
 * of one snapshot. Of an object of lists an item is an object with one member; a long list comes in pieces under the
 * same key. A failure may come after some items. E_INVALID for a method that gives one result. */
int decnet_repo_call_each(DecnetRepo *repo, const char *method, const char *params_json, DecnetRepoItem fn, void *arg);

/* --- which methods there are --- */

typedef struct DecnetRepoParam {
    const char *name;
    const char *type; /* str, uuid, int, bool, datetime (RFC 3339), dict, list, set[str] or any */
    bool required, nullable;
    const char *default_json; /* NULL when it is required */
} DecnetRepoParam;

typedef struct DecnetRepoMethod {
    const char *name, *group;
    const char *returns; /* row(TABLE): an object with all columns; list[x]: an array; x?: or null; stream[x]: items */
    bool writes;
    bool iterates; /* its result has no bound: use decnet_repo_call_each() */
    bool streams;  /* decnet_repo_call_each() takes it */
    const DecnetRepoParam *params;
    size_t n_params;
} DecnetRepoMethod;

/* All methods, 0 to decnet_repo_method_count() - 1. NULL beyond them, and for an unknown name. Never released. */
size_t decnet_repo_method_count(void);
const DecnetRepoMethod *decnet_repo_method_at(size_t i);
const DecnetRepoMethod *decnet_repo_method_find(const char *name);

/* --- the rest --- */

/* Names of ATT&CK techniques are not in the database. Roll-ups ask @fn for them and leave name and url null without it
 * or when it returns false. Set once for the process, before threads start; the texts have to last. */
typedef bool (*DecnetRepoTechniqueNamer)(void *arg, const char *technique_id, const char **ret_name,
                                         const char **ret_url);
void decnet_repo_set_technique_namer(DecnetRepoTechniqueNamer fn, void *arg);

/* Version of the library, as "0.1.0". */
const char *decnet_repo_version(void);

#ifdef __cplusplus
}
#endif

#include <decnet/repo_methods.h>

#endif
