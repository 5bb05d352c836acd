/* The repository: PostgreSQL behind functions that speak of attackers, sessions and tags. No caller sees SQL.
 *
 * Calls run in the caller's transaction, never log, and never retry by themselves. After a failure repo_error() holds
 * statement, SQLSTATE, message and hint. Outcomes are positive and documented here; negative errno values are fatal.
 * A handle belongs to one thread. */
#pragma once

#include "base/json.h"
#include "base/time.h"
#include "base/uuid.h"

enum {
    REPO_E_RETRY = 1,    /* transient (connection, deadlock, shutdown, space): roll back, run the transaction again */
    REPO_E_IN_DOUBT = 2, /* the answer to COMMIT was lost: connect, look whether it happened, decide */
    REPO_E_REJECTED = 3, /* this data can never be stored (SQLSTATE 22, 23, 54) */
    REPO_E_FK = 4,       /* a row that was there a moment ago is gone (23503): look it up again */
    REPO_E_FENCED = 5,   /* another owner moved the position: nothing of this transaction may stay */
    REPO_E_OPERATOR = 6, /* an operator has to act: access, missing or newer schema (SQLSTATE 28, 3D, 3F, 42) */
    REPO_E_NO_ROW = 7,   /* a single row was asked for and is not there */
    REPO_E_INVALID = 8,  /* repo_call: unknown method, missing or wrong parameter */
    /* What single methods of repo_call promise: */
    REPO_E_CONFLICT = 9,      /* a row with this key exists already */
    REPO_E_NOT_FOUND = 10,    /* the row to change does not exist */
    REPO_E_VERSION = 11,      /* the expected version is not the current one; detail: current, expected */
    REPO_E_NOT_EDITABLE = 12, /* the topology is not pending; detail: status, reason */
    REPO_E_ORPHAN = 13,       /* a decky would be left without a LAN; detail: lan, decky */
};

typedef struct Repo Repo;

/* What writing many rows by their key made of one of them. */
typedef enum RowOutcome {
    ROW_UNCHANGED, /* stored already as it came: nothing was written */
    ROW_NEW,
    ROW_CHANGED, /* another one was stored and gave way */
    ROW_STALE,   /* another one is stored and stays */
} RowOutcome;

typedef struct RepoError {
    char sqlstate[6];      /* "" when the server did not say */
    const char *statement; /* its name, or "connect" */
    char message[512];
    char hint[256];        /* what the operator can do; may be "" */
    char detail_json[512]; /* members of a JSON object that the class of the error promises; may be "" */
} RepoError;

typedef struct RepoOptions {
    const char *conninfo;         /* libpq connection string, URI or service=…; borrowed */
    const char *application_name; /* shown in pg_stat_activity; borrowed */
    int64_t statement_timeout_ms; /* 0: none */
} RepoOptions;

/* A handle without a connection; repo_connect() makes or remakes it. Never fails. */
Repo *repo_new(const RepoOptions *options);
void repo_free(Repo *repo); /* accepts NULL */
static inline void repo_freep(Repo **p)
{
    repo_free(*p);
}

/* Connects (at most 5 s) and fixes the session: search_path decnet, UTC, time-outs. Does nothing when the connection
 * is alive. REPO_E_RETRY when the server cannot be reached now, REPO_E_OPERATOR when it refuses us. */
int repo_connect(Repo *repo) must_check;
bool repo_is_connected(const Repo *repo);
void repo_disconnect(Repo *repo);
const RepoError *repo_error(const Repo *repo);
/* "statement: message (SQLSTATE)" for a log line, from repo_error(); borrowed until the next call. */
const char *repo_error_text(Repo *repo);

int repo_begin(Repo *repo) must_check;
/* REPO_E_IN_DOUBT when the connection broke before the answer. */
int repo_commit(Repo *repo) must_check;
/* Ends the transaction whatever its state; a broken connection is closed. */
void repo_rollback(Repo *repo);
/* Runs @fn in a transaction of its own and commits; REPO_E_RETRY is tried 3 times with jitter. @fn may run again. */
int repo_transaction(Repo *repo, int (*fn)(Repo *repo, void *arg), void *arg) must_check;

/* While an answer is awaited, @fn is called again and again, so that the caller can prepare its next work; it returns
 * true when there is more to do at once. NULL switches it off. @fn must not touch the repository. */
void repo_set_idle(Repo *repo, bool (*fn)(void *arg), void *arg);
/* Seconds spent waiting for the server since the start, idle work not counted. */
double repo_wait_seconds(const Repo *repo);

/* Session advisory locks (not through a pooler in transaction mode). 0 taken, 1 held by another. */
int repo_try_lock(Repo *repo, const char *name, bool *ret_taken) must_check;

/* The server's clock, decnet_now(). */
int repo_now(Repo *repo, int64_t *ret_us) must_check;
