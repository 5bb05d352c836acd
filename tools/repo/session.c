#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "repo/method.h"
#include "repo/ready.h"
#include "request.h"

/* --- lines in --- */

enum { READ_BYTES = 64 * 1024, KEPT_BYTES = 1024 * 1024 /* of the buffer of answers */ };

typedef struct Lines {
    Buf buf;
    size_t at, searched; /* start of the next line; how far it was looked through for its end */
    bool skipping;       /* of a line that is too long only the end is looked for */
} Lines;

typedef enum Line { LINE_END, LINE_OK, LINE_TOO_LONG, LINE_FAILED } Line;

/* The line that ends at @end; it is good until the next call. */
static Line take_line(Lines *l, size_t end, Str *ret)
{
    *ret = (Str){l->buf.data + l->at, end - l->at};
    l->at = l->searched = MIN(end + 1, l->buf.len);
    return ret->len > LIMIT_REQUEST_BYTES ? LINE_TOO_LONG : LINE_OK;
}

/* Makes room: what was taken goes, and of a line that is too long all that came so far. */
static void drop_taken(Lines *l)
{
    size_t rest = l->buf.len - l->at;

    l->skipping = l->skipping || rest > LIMIT_REQUEST_BYTES;
    if (l->skipping)
        rest = 0;
    else if (rest)
        memmove(l->buf.data, l->buf.data + l->at, rest);
    l->buf.len = l->searched = rest;
    l->at = 0;
}

static ssize_t read_more(Lines *l)
{
    ssize_t n;

    buf_reserve(&l->buf, READ_BYTES);
    do
        n = read(STDIN_FILENO, l->buf.data + l->buf.len, READ_BYTES);
    while (n < 0 && errno == EINTR);
    l->buf.len += n > 0 ? (size_t)n : 0;
    return n;
}

static Line next_line(Lines *l, Str *ret)
{
    for (;;) {
        size_t unsearched = l->buf.len - l->searched;
        const char *end = unsearched ? memchr(l->buf.data + l->searched, '\n', unsearched) : NULL;
        if (end) {
            Line line = take_line(l, (size_t)(end - l->buf.data), ret);
            if (l->skipping)
                line = LINE_TOO_LONG;
            l->skipping = false;
            return line;
        }
        drop_taken(l);
        ssize_t n = read_more(l);
        if (n > 0)
            continue;
        bool rest = l->skipping || l->buf.len;
        Line line = n < 0 ? LINE_FAILED : l->skipping ? LINE_TOO_LONG : rest ? take_line(l, l->buf.len, ret) : LINE_END;
        l->skipping = false;
        return line;
    }
}

/* --- answers out --- */

typedef struct Session {
    Ctl *ctl;
    Lines lines;
    Buf out;
    int write_errno; /* of standard output; 0: it is open */
    bool schema_checked;
} Session;

/* Writes the answer at once: the other side may wait for it. */
static void put(Session *s)
{
    Str rest = buf_str(&s->out);

    while (rest.len && !s->write_errno) {
        ssize_t n = write(STDOUT_FILENO, rest.data, rest.len);
        if (n < 0 && errno != EINTR)
            s->write_errno = errno;
        if (n > 0)
            rest = (Str){rest.data + n, rest.len - (size_t)n};
    }
    if (s->out.cap > (size_t)KEPT_BYTES) /* one large answer is not paid for all along */
        buf_free(&s->out);
    else
        buf_clear(&s->out);
}

static void put_invalid(Session *s, Str id_json, const char *method, const char *message)
{
    answer_error(&s->out, id_json, &(AnswerError){.class = "E_INVALID", .method = method, .message = message});
    put(s);
}

static void put_error(Session *s, const Request *request, int outcome)
{
    const Repo *repo = s->ctl->repo;
    const RepoError *e = repo_error(repo);

    buf_clear(&s->out);
    answer_error(&s->out, buf_str(&request->id),
                 &(AnswerError){.class = repo_error_class(repo, outcome),
                                .method = request->method,
                                .message = e->message,
                                .sqlstate = e->sqlstate,
                                .hint = method_hint(repo, outcome),
                                .detail_json = e->detail_json});
    put(s);
}

/* --- requests --- */

typedef struct Items {
    Session *session;
    const Request *request;
    bool any;
} Items;

static int put_item(void *arg, Str item_json)
{
    Items *items = arg;
    Session *s = items->session;

    items->any = true;
    answer_begin(&s->out, buf_str(&items->request->id), "item");
    buf_add_str(&s->out, item_json);
    answer_end(&s->out);
    put(s);
    return s->write_errno ? -s->write_errno : 0;
}

static int walk(Session *s, Items *items)
{
    const Request *request = items->request;
    int r = repo_call_each(s->ctl->repo, request->method, request->params, put_item, items);

    if (r != 0)
        return r;
    answer_begin(&s->out, buf_str(&request->id), "end");
    buf_add(&s->out, "true");
    answer_end(&s->out);
    put(s);
    return 0;
}

static int call(Session *s, const Request *request)
{
    answer_begin(&s->out, buf_str(&request->id), "result");
    int r = repo_call(s->ctl->repo, request->method, request->params, &s->out);
    if (r != 0)
        return r;
    answer_end(&s->out);
    put(s);
    return 0;
}

static int serve_once(Session *s, Items *items)
{
    const Method *method = method_find(items->request->method);
    int r = method_ready(s->ctl->repo, items->request->method, &s->schema_checked);

    buf_clear(&s->out);
    if (r != 0)
        return r;
    return method && method_iterates(method) ? walk(s, items) : call(s, items->request);
}

static void serve(Session *s, const Request *request)
{
    Items items = {.session = s, .request = request};
    int r = serve_once(s, &items);

    /* That a connection died since the last request shows only when it is used. */
    if (r == REPO_E_RETRY && !items.any && !repo_is_connected(s->ctl->repo))
        r = serve_once(s, &items);
    if (r != 0 && !s->write_errno)
        put_error(s, request, r);
}

static void answer(Session *s, Str line)
{
    cleanup(request_free) Request request = {0};

    if (text_trim(line).len == 0)
        return;
    if (request_parse(line, &request))
        serve(s, &request);
    else
        put_invalid(s, buf_str(&request.id), request.method, request.problem);
}

static void answer_too_long(Session *s)
{
    put_invalid(s, STR("null"), NULL, "the line is longer than " STRINGIFY(LIMIT_REQUEST_BYTES) " bytes");
}

static int session_end(const Session *s, Line last)
{
    if (s->write_errno && s->write_errno != EPIPE)
        return ctl_fail(s->ctl, EXIT_FAILED, "cannot write to standard output: %s", strerror(s->write_errno));
    if (!s->write_errno && last == LINE_FAILED)
        return ctl_fail(s->ctl, EXIT_FAILED, "cannot read standard input: %m");
    return 0;
}

int repo_session(Ctl *ctl)
{
    Session s = {.ctl = ctl};
    Line line = LINE_OK;
    Str text;

    signal(SIGPIPE, SIG_IGN);
    if (isatty(STDIN_FILENO))
        fprintf(stderr, "%s: one request a line, such as {\"id\":1,\"method\":\"get_max_log_id\"}; Ctrl-D ends\n",
                ctl->program);
    while (!s.write_errno && (line == LINE_OK || line == LINE_TOO_LONG)) {
        line = next_line(&s.lines, &text);
        if (line == LINE_OK)
            answer(&s, text);
        else if (line == LINE_TOO_LONG)
            answer_too_long(&s);
    }
    int code = session_end(&s, line);
    buf_free(&s.lines.buf);
    buf_free(&s.out);
    return code;
}
