/* Programs under test: spawn them, wait for what they write, look at how they end. A spawned program never outlives
 * the test that started it. */
#pragma once

#include <sys/types.h>

#include "base/text.h"

/* A new folder under $TMPDIR (or /tmp), removed with all in it when the test process ends. The caller frees the text. */
char *harness_folder(void);

/* "<folder>/<name>", the caller frees. */
char *harness_path(const char *folder, const char *name);

typedef struct HarnessProgram {
    const char *const *argv;        /* argv[0] is the path; NULL at the end */
    const char *const *environment; /* "NAME=value" on top of our own, NULL at the end; or NULL */
    const char *stdout_path;        /* files that receive its output; NULL: /dev/null */
    const char *stderr_path;        /* NULL: ours */
    int stdin_fd, stdout_fd;        /* descriptors to use as its input and output; 0: our input, stdout_path */
} HarnessProgram;

/* Starts it; fails the test when that is impossible. */
pid_t harness_spawn(const HarnessProgram *program);

/* Its exit status, or 128 + signal. -1 when it is still running after @timeout_ms. */
int harness_wait(pid_t pid, int timeout_ms);
/* Send @signal, then harness_wait(). */
int harness_end(pid_t pid, int signal, int timeout_ms);
/* SIGSTOP, and back only when all of it stands still; SIGCONT lets it go on. */
void harness_freeze(pid_t pid);
/* Spawn and wait; a program that does not end in time is killed and fails the test. */
int harness_run(const HarnessProgram *program, int timeout_ms);

/* True once @path exists and is not empty. */
bool harness_wait_file(const char *path, int timeout_ms);
/* True once the file at @path holds @text. */
bool harness_wait_text(const char *path, const char *text, int timeout_ms);
/* The whole file, "" when there is none; the caller frees. */
char *harness_read(const char *path);

/* The value of an environment variable that meson sets for the test; fails the test when it is missing. */
const char *harness_env(const char *name);

/* An embedded broker of its own for a test. */
typedef struct HarnessBroker {
    pid_t pid;
    char *folder, *ready_file, *stderr_path;
    char *address; /* host:port */
} HarnessBroker;

/* @options: further arguments of decnet-broker, NULL at the end; or NULL. */
HarnessBroker harness_broker_start(const char *const *options);
void harness_broker_stop(HarnessBroker *broker); /* by SIGKILL when it is still there */
