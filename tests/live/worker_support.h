/* What the live tests of lib/worker share: a broker, a database with the tables of the fake workers, records in and out,
 * and fake workers as programs (tests/fakes/fake_worker.c). One of each per test, as every test is a process. */
#pragma once

#include "bus/bus.h"
#include "harness.h"
#include "pg_harness.h"
#include "pg_proxy.h"

enum { WAIT_MS = 20000, EXIT_OPERATOR = 78 };

/* For .init and .fini: broker, database, producer. */
void rig_start(void);
void rig_stop(void);
/* The broker, whose process a test may kill. */
HarnessBroker *rig_broker(void);
/* Give the old broker up and start another, which is another cluster. */
void rig_new_broker(void);
/* Where the bus library finds the broker. */
const Config *rig_config(void);

/* --- records in --- */
/* attacker.observed of @ip, which is also its key, with further members ("\"n\":1,\"need\":true"). */
void rig_send(const char *ip, const char *members_fmt, ...) printf_like(2, 3);
void rig_send_raw(const char *topic, Str key, Str value, const BusHeader *headers, size_t n_headers);
/* @n records of 20 addresses, "n" counting from @from. */
void rig_send_many(int from, int n);
void rig_flush(void);

/* --- records out --- */
typedef struct Record {
    Str key, value;
    BusHeader *headers;
    size_t n_headers;
    int32_t partition;
    int64_t offset;
} Record;
/* Everything of @topic so far, in order of partition and offset; *ret_n of them, in the arena of the test. */
Record *rig_read(const char *topic, size_t *ret_n);
/* The same once there are @n; fewer or more after WAIT_MS fail the test. */
Record *rig_read_n(const char *topic, size_t n);
Str record_header(const Record *r, const char *name);
/* Distinct decnet-event-id among @records. */
size_t record_distinct_ids(const Record *records, size_t n);
Arena *rig_arena(void);

/* --- workers --- */
typedef struct Fake {
    pid_t pid;
    const char *log, *out, *port_file; /* files; in the arena of the test */
} Fake;

/* Starts a fake of @kind ("batch" runs as role decnet_ttp, "idle" as superuser) with the usual options (solo, JSON log
 * at level debug, metrics on a free port) and @options behind them, which win; NULL at the end. */
#define fake_start(kind, ...) fake_start_list(kind, NULL, (const char *const[]){"", ##__VA_ARGS__, NULL} + 1)
/* The same with further environment. */
Fake fake_start_list(const char *kind, const char *const *environment, const char *const *options);
/* Waits until it says that it has started. */
void fake_await_ready(const Fake *f);
/* Starts one, waits for its end, returns its exit code; the log stays in *ret. */
#define fake_run(ret, kind, ...) fake_run_list(ret, kind, (const char *const[]){"", ##__VA_ARGS__, NULL} + 1)
int fake_run_list(Fake *ret, const char *kind, const char *const *options);
/* --once, which must end well. */
void fake_once(void);
int fake_end(Fake *f, int signal, int timeout_ms);
/* Fails the test with the log when it does not end with @code. */
void fake_expect_end(Fake *f, int code, int timeout_ms);
/* Its log holds @text; waits for it. */
void fake_expect_log(const Fake *f, const char *text);
bool fake_said(const Fake *f, const char *text);
/* Formatted, in the arena of the test. */
const char *option(const char *fmt, ...) printf_like(1, 2);

/* --- HTTP --- */
int fake_port(const Fake *f);
/* A connection to 127.0.0.1:@port that gives up reading after 5 s; -1 when it is refused. */
int http_connect(int port);
/* Sends @request as it is to the metrics port; the whole answer, in the arena of the test. "" when there is none. */
const char *http_raw(const Fake *f, const char *request);
/* Status of GET @path; the body in *ret_body (may be NULL). 0 when there was no answer. */
int http_get(const Fake *f, const char *path, const char **ret_body);
/* Waits until /readyz answers @status. */
void fake_await_readiness(const Fake *f, int status);
/* The value of one line of /metrics ("decnet_records_total" or with its labels); -1 when it is not there. */
double fake_metric(const Fake *f, const char *line);
