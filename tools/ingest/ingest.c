#include "ingest/ingest.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "repo/sources.h"

enum {
    CHUNK_BYTES = 8 * 1024 * 1024,
    BAD_LINES_SHOWN = 10,
    LOCK_TRIES = 50,            /* of 200 ms: the server needs a moment to notice that a killed ingester is gone */
    ROTATION_WAIT_US = 2000000, /* ingest 14: a writer may still be at the old file */
    FOLLOW_POLL_MS = 1000,
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 30000,
    OUTBOX_MAX_BYTES = 16 * 1024 * 1024, /* unpublished: above it reading waits */
    EXIT_OPERATOR = 78,
};

/* A log that is being read. */
typedef struct Source {
    char *path; /* as given */
    Input *in;
    SourceRow row;
    Arena *arena;
    int64_t line_number; /* -1: it was taken up in its middle */
    int64_t chunk_from_bytes;
} Source;

static int printf_like(3, 4) fail(Ingest *g, int exit_code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(g->error, sizeof(g->error), fmt, args);
    va_end(args);
    g->exit_code = exit_code;
    return -EINVAL;
}

static int fail_repo(Ingest *g, int r)
{
    if (r == REPO_E_OPERATOR)
        return fail(g, EXIT_OPERATOR, "database: %s", repo_error_text(g->repo));
    return fail(g, 1, "%s%s", r < 0 ? strerror(-r) : "database: ", r < 0 ? "" : repo_error_text(g->repo));
}

static void source_close(Source *s)
{
    input_close(s->in);
    arena_free(s->arena);
    free(s->path);
    *s = (Source){0};
}

/* --- waiting --- */

static int serve_outbox(Ingest *g)
{
    int r = outbox_tick(g->outbox, g->repo, 30000);
    return r == REPO_E_RETRY ? 0 : r == 0 ? 0 : fail_repo(g, r);
}

static bool broker_is_away(const Ingest *g)
{
    return !outbox_broker_healthy(g->outbox) || backlog_is_silent(g->backlog);
}

/* Readers are behind, or the broker is away: reading on would only pile up. */
static int wait_for_outbox(Ingest *g)
{
    while (!*g->stop &&
           outbox_pending_bytes(g->outbox) > OUTBOX_MAX_BYTES / (backlog_is_blocking(g->backlog) ? 8 : 1)) {
        g->progress.waiting = backlog_is_blocking(g->backlog) ? "waiting for the workers" : "waiting for the broker";
        progress_show(&g->progress);
        outbox_poll(g->outbox, 20);
        int r = serve_outbox(g);
        if (r != 0)
            return r;
        if (broker_is_away(g))
            break; /* rows stay in the outbox; a later run publishes them */
    }
    g->progress.waiting = NULL;
    if (backlog_nobody_reads(g->backlog))
        log_warning("nobody_reads",
                    "no worker has registered for attacker.session.ended yet: the embedded broker keeps "
                    "only 5 MiB of a partition; start decnet-ttp beside the ingest");
    return 0;
}

static void back_off(Ingest *g, int tries, const char *what)
{
    int64_t ms = BACKOFF_FIRST_MS << MIN(tries, 9);
    log_warning("holding", "%s; trying again (nothing is lost meanwhile)", what);
    g->progress.waiting = "waiting for the database";
    ms = MIN(ms, (int64_t)BACKOFF_MAX_MS);
    for (int64_t until_us = clock_monotonic_us() + ms * US_PER_MS; clock_monotonic_us() < until_us && !*g->stop;) {
        progress_show(&g->progress);
        outbox_poll(g->outbox, 50);
    }
    g->progress.waiting = NULL;
}

/* --- chunks --- */

static int store(Ingest *g, Chunk *chunk)
{
    int r;

    for (int tries = 0; (r = writer_store(g->writer, chunk)) == REPO_E_RETRY || r == REPO_E_FK; tries++) {
        if (*g->stop)
            return fail(g, 1, "ended while the database was away; run the same command again to go on");
        back_off(g, tries, repo_error_text(g->repo));
    }
    if (r == REPO_E_FENCED)
        return fail(g, 1, "another ingester reads the same lines: %s; run the same command again once it is done",
                    repo_error_text(g->repo));
    if (r != 0)
        return fail_repo(g, r);
    g->counts.new_lines += chunk->n_new;
    g->counts.new_attackers += chunk->n_attackers;
    AssemblyCounters c = assembly_counters(g->assembly);
    g->progress.sessions = c.sessions_opened;
    g->progress.announced = c.sessions_announced;
    progress_show(&g->progress);
    return wait_for_outbox(g);
}

static int store_lines(Ingest *g, Source *s)
{
    int64_t at = input_position_bytes(s->in);
    Chunk chunk = {.events = g->events,
                   .n = g->n_events,
                   .source_id = s->row.source_id,
                   .resumable = !input_is_stdin(s->in),
                   .from_bytes = s->chunk_from_bytes,
                   .to_bytes = at};

    if (g->n_events == 0 && at == s->chunk_from_bytes)
        return serve_outbox(g);
    int r = store(g, &chunk);
    if (r == 0) {
        s->chunk_from_bytes = at;
        g->n_events = g->chunk_bytes = 0;
        arena_reset(g->arena);
    }
    return r;
}

static void show_bad(Ingest *g, const Source *s, CowrieReject reject)
{
    char place[32];

    g->progress.bad++;
    if (++g->counts.bad[reject] > BAD_LINES_SHOWN)
        return;
    snprintf(place, sizeof(place), "%s %lld", s->line_number < 0 ? "byte" : "line",
             (long long)(s->line_number < 0 ? input_position_bytes(s->in) : s->line_number));
    progress_end(&g->progress);
    fprintf(stderr, "%s: %s: bad line: %s%s\n", s->path, place, cowrie_reject_name(reject),
            g->counts.bad[reject] == BAD_LINES_SHOWN ? " (further ones of this kind are only counted)" : "");
}

static void take_line(Ingest *g, Source *s, Str line, InputResult result)
{
    CowrieReject reject = COWRIE_TOO_LONG;

    if (s->line_number >= 0)
        s->line_number++;
    if (g->n_events == 0)
        g->chunk_started_us = clock_monotonic_us();
    if (result == INPUT_LINE) {
        if (text_trim(line).len == 0)
            return; /* an empty line says nothing, not even something bad */
        reject = cowrie_parse(g->arena, &g->options->cowrie, str_dup(g->arena, line), &g->events[g->n_events]);
    }
    if (reject != COWRIE_OK) {
        show_bad(g, s, reject);
        return;
    }
    g->n_events++;
    g->chunk_bytes += line.len;
    g->counts.lines++;
    g->progress.lines++;
}

static bool chunk_is_full(const Ingest *g)
{
    return g->n_events >= g->options->chunk_lines || g->chunk_bytes >= CHUNK_BYTES;
}

/* Lines until the input has no more now; whole chunks are stored, the rest is left in g->events. */
static int read_on(Ingest *g, Source *s, bool final, int64_t done_before_bytes)
{
    InputResult result = INPUT_LINE;
    Str line;

    while (!*g->stop) {
        int r = input_line(s->in, final, &line, &result);
        if (r != 0)
            return fail(g, 1, "%s: cannot be read on behind byte %lld: %s", s->path,
                        (long long)input_position_bytes(s->in),
                        r == -EBADMSG ? "damaged or cut gzip data; what came before is stored" : strerror(-r));
        if (result == INPUT_END)
            return 0;
        take_line(g, s, line, result);
        if (!chunk_is_full(g))
            continue;
        g->progress.done_bytes = done_before_bytes + input_progress_bytes(s->in);
        r = store_lines(g, s);
        if (r != 0)
            return r;
    }
    return 0;
}

/* --- sources --- */

static void name_source(Source *s)
{
    InputIdentity id = input_identity(s->in);
    char head[17];

    hex_encode(head, id.head_sha256, 8);
    s->row = (SourceRow){.path = str_dup(s->arena, str_from(input_path(s->in))),
                         .head_bytes = id.head_bytes,
                         .dev = id.dev,
                         .inode = id.inode,
                         .watermark_us = TIME_NONE};
    memcpy(s->row.head_sha256, id.head_sha256, sizeof(id.head_sha256));
    s->row.source_id = input_is_stdin(s->in)
                           ? STR("-")
                           : str_from(arena_printf(s->arena, "%s#%s:%d", input_path(s->in), head, (int)id.head_bytes));
}

static int lock_source(Ingest *g, const Source *s)
{
    cleanup(buf_free) Buf name = {0};
    bool taken = false;

    if (input_is_stdin(s->in))
        return 0;
    buf_printf(&name, "decnet.ingest." STR_FMT, STR_ARG(s->row.source_id));
    for (int i = 0; i < LOCK_TRIES && !taken && !*g->stop; i++) {
        int r = repo_try_lock(g->repo, name.data, &taken);
        if (r != 0)
            return fail_repo(g, r);
        if (!taken)
            usleep(200000);
    }
    return taken ? 0 : fail(g, 1, "%s: another ingester is reading this log", s->path);
}

static int restore_path(Ingest *g, const SourceRow *known, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int r = writer_restore(g->writer, known[i].source_id);
        if (r != 0)
            return fail_repo(g, r);
    }
    return 0;
}

/* The stored row of this very file, if there is one. */
static int find_source(Ingest *g, Source *s)
{
    SourceRow *known = NULL;
    size_t n = 0;

    int r = sources_of_path(g->repo, s->arena, s->row.path, &known, &n);
    if (r != 0)
        return fail_repo(g, r);
    for (size_t i = 0; i < n; i++) {
        if (known[i].head_bytes > 0 && input_has_head(s->in, known[i].head_sha256, known[i].head_bytes)) {
            s->row = known[i];
            break;
        }
    }
    r = restore_path(g, known, n);
    if (r == 0 && (r = source_register(g->repo, &s->row)) != 0)
        return fail_repo(g, r);
    return r;
}

static int start_source(Ingest *g, Source *s)
{
    int r = 0;

    name_source(s);
    if (!input_is_stdin(s->in))
        r = find_source(g, s);
    r = r ? r : lock_source(g, s);
    if (r != 0)
        return r;
    if (s->row.position_bytes > 0 && input_seek(s->in, s->row.position_bytes) != 0) {
        log_warning("shrunk", "%s is shorter than what was read of it before; it is read from its beginning", s->path);
        r = input_seek(s->in, 0);
        if (r != 0)
            return fail(g, 1, "%s: %s", s->path, strerror(-r));
    }
    s->chunk_from_bytes = s->row.position_bytes;
    s->line_number = s->row.position_bytes > 0 ? -1 : 0;
    assembly_begin_source(g->assembly, s->row.watermark_us);
    return 0;
}

static int open_source(Ingest *g, Source *s, const char *path)
{
    *s = (Source){.path = strdup(path), .arena = arena_new()};
    int r = input_open(path, &s->in);
    return r == 0 ? 0 : fail(g, 1, "%s: %s", path, strerror(-r));
}

/* --- once --- */

static int read_file(Ingest *g, const char *path, int64_t done_before_bytes)
{
    Source s = {0};
    int r = open_source(g, &s, path);
    r = r ? r : start_source(g, &s);
    r = r ? r : read_on(g, &s, true, done_before_bytes);
    r = r ? r : store_lines(g, &s);
    source_close(&s);
    return r;
}

static int flush_sessions(Ingest *g)
{
    Chunk chunk = {.source_id = STR("-"), .flush = true, .flush_again = true};
    int r = 0;

    while (r == 0 && chunk.flush_again && !*g->stop)
        r = store(g, &chunk);
    return r;
}

typedef struct File {
    char *path;
    int64_t first_us, size_bytes;
} File;

/* By first event time, as a rotated log is one log; what has no time keeps its place at the end. */
static int by_time(const void *a, const void *b)
{
    const File *x = a, *y = b;
    int64_t tx = x->first_us == TIME_NONE ? INT64_MAX : x->first_us,
            ty = y->first_us == TIME_NONE ? INT64_MAX : y->first_us;
    return tx != ty ? (tx > ty) - (tx < ty) : strcmp(x->path, y->path);
}

static void add_file(File **files, size_t *n, const char *path)
{
    File *grown = realloc(*files, (*n + 1) * sizeof(*grown));
    if (!grown)
        abort();
    *files = grown;
    (*files)[(*n)++] =
        (File){.path = strdup(path), .first_us = strcmp(path, "-") == 0 ? TIME_NONE : input_first_time(path)};
}

static int list_files(Ingest *g, char **paths, size_t n_paths, File **files, size_t *n)
{
    for (size_t i = 0; i < n_paths; i++) {
        char **inside = NULL;
        size_t n_inside = 0;
        if (!input_is_folder(paths[i])) {
            add_file(files, n, paths[i]);
            continue;
        }
        int r = input_list_folder(paths[i], &inside, &n_inside);
        for (size_t k = 0; k < n_inside; k++) {
            add_file(files, n, inside[k]);
            free(inside[k]);
        }
        free(inside);
        if (r != 0 || n_inside == 0)
            return fail(g, 1, "%s: %s", paths[i], r ? strerror(-r) : "no *.json or *.jsonl files in this folder");
    }
    if (*n)
        qsort(*files, *n, sizeof(**files), by_time);
    return 0;
}

/* Sizes for the progress, and an early word on a file that is not there. */
static int measure(Ingest *g, File *files, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cleanup(input_closep) Input *in = NULL;
        if (strcmp(files[i].path, "-") == 0) {
            g->progress.total_bytes = 0;
            return 0;
        }
        int r = input_open(files[i].path, &in);
        if (r != 0)
            return fail(g, 1, "%s: %s", files[i].path, strerror(-r));
        files[i].size_bytes = input_identity(in).size_bytes;
        g->progress.total_bytes += files[i].size_bytes;
    }
    return 0;
}

static int run_once(Ingest *g, char **paths, size_t n_paths)
{
    File *files = NULL;
    size_t n = 0;
    int64_t done_bytes = 0;

    int r = list_files(g, paths, n_paths, &files, &n);
    r = r ? r : measure(g, files, n);
    for (size_t i = 0; r == 0 && i < n && !*g->stop; i++) {
        r = read_file(g, files[i].path, done_bytes);
        done_bytes += files[i].size_bytes;
    }
    if (r == 0 && !*g->stop)
        r = flush_sessions(g);
    for (size_t i = 0; i < n; i++)
        free(files[i].path);
    free(files);
    return r;
}

/* --- follow --- */

static int watch_folder(const char *path)
{
    cleanup(freep) char *folder = strdup(path);
    char *slash = folder ? strrchr(folder, '/') : NULL;
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    if (slash)
        *slash = '\0';
    if (fd >= 0)
        (void)inotify_add_watch(fd, slash ? (*folder ? folder : "/") : ".", IN_CREATE | IN_MOVED_TO | IN_MODIFY);
    return fd;
}

/* Until something happens in the folder, at most @ms; without inotify that is a plain wait. */
static int wait_change(Ingest *g, int fd, int ms)
{
    char events[4096];
    struct pollfd p = {.fd = fd, .events = POLLIN};

    progress_show(&g->progress);
    if (poll(&p, 1, ms) > 0)
        while (read(fd, events, sizeof(events)) > 0)
            continue;
    return serve_outbox(g);
}

/* The file that was read last, renamed since: to its end. */
static int finish_rotated(Ingest *g, const char *rotated, const SourceRow *known, size_t n)
{
    Source s = {0};
    int r = open_source(g, &s, rotated);

    if (r == 0) {
        s.row = known[0];
        s.line_number = -1;
        s.chunk_from_bytes = s.row.position_bytes;
        if (input_identity(s.in).size_bytes > s.row.position_bytes)
            log_notice("rotated", "the log was rotated to %s: finishing that first", rotated);
        assembly_begin_source(g->assembly, s.row.watermark_us);
        r = restore_path(g, known, n);
        r = r ? r : lock_source(g, &s);
        if (r == 0 && input_seek(s.in, s.row.position_bytes) == 0)
            r = read_on(g, &s, true, 0);
        r = r ? r : store_lines(g, &s);
    }
    source_close(&s);
    return r;
}

/* Rotated files between what was read last and @real: more than one rotation passed while nobody looked. */
static int read_missed(Ingest *g, const char *real, const char *rotated)
{
    cleanup(freep) char *folder = strdup(real);
    char **siblings = NULL;
    File *files = NULL;
    size_t n_siblings = 0, n = 0;
    int64_t after_us = assembly_watermark_us(g->assembly), until_us = input_first_time(real);

    *strrchr(folder, '/') = '\0';
    int r = input_list_folder(*folder ? folder : "/", &siblings, &n_siblings);
    for (size_t i = 0; i < n_siblings; i++) {
        size_t len = strlen(real);
        if (strncmp(siblings[i], real, len) == 0 && siblings[i][len] == '.' &&
            (!rotated || strcmp(siblings[i], rotated) != 0))
            add_file(&files, &n, siblings[i]);
        free(siblings[i]);
    }
    free(siblings);
    if (n > 0)
        qsort(files, n, sizeof(*files), by_time);
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (files[i].first_us > after_us && (until_us == TIME_NONE || files[i].first_us <= until_us)) {
            log_notice("missed", "%s was never read: reading it first", files[i].path);
            r = read_file(g, files[i].path, 0);
        }
        free(files[i].path);
    }
    free(files);
    return r;
}

/* @s is about to be followed. If it is not what was read last under this name, that and what came between go first. */
static int catch_up(Ingest *g, Source *s)
{
    cleanup(freep) char *rotated = NULL;
    const char *real = input_path(s->in);
    SourceRow *known = NULL;
    size_t n = 0;

    int r = sources_of_path(g->repo, s->arena, str_from(real), &known, &n);
    if (r != 0)
        return fail_repo(g, r);
    if (n == 0 || input_has_head(s->in, known[0].head_sha256, known[0].head_bytes))
        return 0;
    InputIdentity old = {.head_bytes = known[0].head_bytes, .dev = known[0].dev, .inode = known[0].inode};
    memcpy(old.head_sha256, known[0].head_sha256, sizeof(old.head_sha256));
    rotated = input_find_rotated(real, &old);
    if (rotated)
        r = finish_rotated(g, rotated, known, n);
    else
        log_warning("gone",
                    "the file that was %s before is not beside it any more (packed, moved, removed?); if it has lines "
                    "that were not read: decnetctl ingest cowrie FILE",
                    s->path);
    if (!rotated)
        assembly_begin_source(g->assembly, known[0].watermark_us);
    return r ? r : read_missed(g, real, rotated);
}

/* Follow one file until it is rotated, truncated, or we are asked to stop. */
static int follow_file(Ingest *g, Source *s, int watch_fd)
{
    int64_t rotated_us = 0;
    int r = 0;

    while (r == 0 && !*g->stop) {
        InputChange change = input_check(s->in);
        bool over = change == INPUT_TRUNCATED ||
                    (change == INPUT_ROTATED && rotated_us && clock_monotonic_us() - rotated_us >= ROTATION_WAIT_US);
        if (change == INPUT_ROTATED && !rotated_us)
            rotated_us = clock_monotonic_us();
        r = read_on(g, s, over, 0);
        if (r == 0 && (over || *g->stop || clock_monotonic_us() - g->chunk_started_us >= g->options->chunk_wait_us))
            r = store_lines(g, s);
        if (r != 0 || over) {
            if (change == INPUT_TRUNCATED)
                log_warning("truncated",
                            "%s became shorter: copytruncate loses lines by design; let the log be renamed", s->path);
            return r;
        }
        r = wait_change(g, watch_fd, g->n_events ? (int)(g->options->chunk_wait_us / US_PER_MS) : FOLLOW_POLL_MS);
    }
    return r ? r : store_lines(g, s);
}

static int run_follow(Ingest *g, const char *path)
{
    int watch_fd = watch_folder(path), r = 0;
    bool waiting_said = false;

    while (r == 0 && !*g->stop) {
        Source s = {0};
        r = open_source(g, &s, path);
        if (r == 0 && input_identity(s.in).head_bytes > 0) {
            waiting_said = false;
            r = catch_up(g, &s);
            r = r ? r : start_source(g, &s);
            r = r ? r : follow_file(g, &s, watch_fd);
        } else { /* not there yet, or empty: its name says nothing before it has a head */
            r = r == 0 || access(path, F_OK) != 0 ? 0 : r;
            if (r == 0 && !waiting_said)
                log_notice("waiting", "%s is not there or empty: waiting for it", path);
            waiting_said = true;
            r = r ? r : wait_change(g, watch_fd, FOLLOW_POLL_MS);
        }
        source_close(&s);
    }
    close(watch_fd);
    return r;
}

/* --- the run --- */

/* Everything published and its rows deleted, as long as a broker answers. */
static int finish_outbox(Ingest *g)
{
    int r = 0;

    backlog_ask_again(g->backlog);
    while (r == 0 && !outbox_is_settled(g->outbox)) {
        g->progress.waiting = backlog_is_blocking(g->backlog) ? "waiting for the workers" : "publishing";
        progress_show(&g->progress);
        r = outbox_drain(g->outbox, g->repo, 200);
        if (r == REPO_E_RETRY)
            r = 0;
        if (broker_is_away(g) || (*g->stop && backlog_is_blocking(g->backlog)))
            break;
    }
    g->progress.waiting = NULL;
    return r == 0 ? 0 : fail_repo(g, r);
}

int ingest_run(Ingest *g, char **paths, size_t n)
{
    g->arena = arena_new();
    g->events = calloc(g->options->chunk_lines, sizeof(*g->events));
    if (!g->events)
        abort();
    progress_start(&g->progress);
    /* What an earlier run left in the outbox goes first, whatever its age: that run is over, or publishes the same ids. */
    int r = outbox_tick(g->outbox, g->repo, 0);
    r = r == REPO_E_RETRY || r == 0 ? 0 : fail_repo(g, r);
    r = r ? r : g->options->follow ? run_follow(g, paths[0]) : run_once(g, paths, n);
    r = r ? r : finish_outbox(g);
    progress_end(&g->progress);
    arena_free(g->arena);
    free(g->events);
    return r;
}
