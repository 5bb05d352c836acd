/* What the subcommands of decnetctl share: their table, options and help, the database, messages with an exit status,
 * and how tables and attacker text are shown. Each subcommand is one file cmd_<name>.c. */
#pragma once

#include "base/cli.h"
#include "base/json.h"
#include "repo/repo.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_OPERATOR = 78 };

typedef struct Command {
    const char *name, *summary;
    int (*run)(int argc, char **argv); /* argv[0] is "decnetctl NAME"; returns the exit status */
} Command;

int cmd_attribution(int argc, char **argv);
int cmd_dlq(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_migrate(int argc, char **argv);
int cmd_observe(int argc, char **argv);
int cmd_outbox(int argc, char **argv);
int cmd_positions(int argc, char **argv);
int cmd_repo(int argc, char **argv);
int cmd_summary(int argc, char **argv);
int cmd_tags(int argc, char **argv);
int cmd_topics(int argc, char **argv);

/* What `decnetctl NAME --help` says. */
typedef struct CtlHelp {
    const char *synopsis; /* behind the name: "[OPTION]... ADDRESS" */
    const char *about;    /* whole lines */
    const char *examples; /* whole lines, each begins with two spaces */
} CtlHelp;

typedef struct Ctl {
    const char *program; /* "decnetctl dump", begins every message; borrowed */
    Config config;
    Repo *repo;  /* after ctl_connect() */
    char **args; /* n_args positional arguments; borrowed from argv */
    int n_args;
    int code;     /* why ctl_begin() said no */
    bool json;    /* for the option of that name, where a subcommand has it */
    Arena *arena; /* for whatever the subcommand reads */
} Ctl;

/* Reads configuration and options. False: help was shown or the command line is wrong; end with ctl->code. */
bool ctl_begin(Ctl *ctl, int argc, char **argv, const CtlHelp *help, const CliOption *options, size_t n);
void ctl_end(Ctl *ctl); /* use with cleanup(ctl_end) */

/* What the first argument chooses, for subcommands that have several things to do. */
typedef struct CtlAction {
    const char *name;
    int (*run)(Ctl *ctl); /* ctl->args[0] is the name; returns the exit status */
} CtlAction;
int ctl_act(Ctl *ctl, const CtlAction *actions, size_t n);

/* A time as people type it: RFC 3339, or a date alone, which is its midnight UTC. */
bool ctl_time(const char *text, int64_t *ret_us);

/* 0, or an exit status after a message. ctl_connect_current() also wants every migration applied. */
int ctl_connect(Ctl *ctl) must_check;
int ctl_connect_current(Ctl *ctl) must_check;
/* Messages on standard error; each returns the exit status. */
int ctl_fail(const Ctl *ctl, int code, const char *fmt, ...) printf_like(3, 4);
int ctl_fail_repo(const Ctl *ctl, int outcome);
int ctl_usage(const Ctl *ctl, const char *fmt, ...) printf_like(2, 3);

/* --- showing --- */
/* Escape sequences, empty unless standard output is a terminal that has colours. */
const char *ctl_bold(void);
const char *ctl_dim(void);
const char *ctl_plain(void);

/* Attacker text for people: passwords masked, control characters and invalid bytes made visible, cut to @max_chars
 * with an ellipsis. */
void ctl_show_command(Buf *out, Str command, size_t max_chars);

/* The same without masking. */
void ctl_show_bytes(Buf *out, Str bytes, size_t max_chars);

/* A table whose columns are as wide as their widest cell; numbers stand to the right. */
enum { CTL_TABLE_COLUMNS = 12 };
typedef struct CtlTable {
    const char *heads[CTL_TABLE_COLUMNS]; /* up to a NULL; a leading '>' aligns to the right */
    Buf cells;                            /* NUL after each */
    size_t n_cells;
} CtlTable;
void ctl_cell(CtlTable *t, const char *fmt, ...) printf_like(2, 3);
void ctl_cell_str(CtlTable *t, Str s); /* absent: "-" */
void ctl_cell_time(CtlTable *t, int64_t us);
/* Prints it, or @empty when it has no rows, and frees the cells. */
void ctl_print_table(CtlTable *t, const char *empty);
/* One JSON text and a newline on standard output; 0 or EXIT_FAILED. */
int ctl_print_json(const Ctl *ctl, const Buf *json);
/* Prints JSON over several lines, every number and text as it is; characters that a terminal would obey or hide are
 * escaped. -1 with errno when that fails. */
int ctl_print_pretty(Str json);
