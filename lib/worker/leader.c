/* One leader per group: whoever holds a session advisory lock, on a connection of its own. It loses the lead when the
 * connection breaks, and PostgreSQL then gives the lock to another. */
#include "base/log.h"
#include "internal.h"

enum { TRY_EVERY_US = 1000000 };

struct Leader {
    Worker *worker;
    Repo *repo;
    char *lock_name;
    bool leads;
    int64_t next_try_us;
};

Leader *leader_new(Worker *w)
{
    Leader *l = calloc(1, sizeof(*l));
    RepoOptions options = {.conninfo = w->config.database,
                           .application_name = w->application_name,
                           .statement_timeout_ms = w->config.statement_timeout_ms};
    cleanup(buf_free) Buf name = {0};

    if (!l)
        abort();
    buf_printf(&name, "decnet.leader.%s", w->group);
    *l = (Leader){.worker = w, .repo = repo_new(&options), .lock_name = TAKE_PTR(name.data)};
    return l;
}

void leader_free(Leader *l)
{
    if (!l)
        return;
    repo_free(l->repo);
    free(l->lock_name);
    free(l);
}

/* Asking again for a lock that we hold would only count it up; a query tells whether the connection lives. */
void leader_tick(Leader *l)
{
    int64_t now_us = clock_monotonic_us(), unused;
    bool was = l->leads;

    if (now_us < l->next_try_us)
        return;
    l->next_try_us = now_us + TRY_EVERY_US;
    if (l->leads)
        l->leads = repo_is_connected(l->repo) && repo_now(l->repo, &unused) == 0;
    else if (repo_connect(l->repo) == 0 && repo_try_lock(l->repo, l->lock_name, &l->leads) != 0)
        l->leads = false;
    if (!l->leads && was)
        repo_disconnect(l->repo);
    if (l->leads && !was)
        log_notice("leader", "this process leads group %s", l->worker->group);
    if (!l->leads && was) /* an event of its own, else it were held back as a repetition */
        log_notice("leader_lost", "lost the lead of group %s", l->worker->group);
}

bool worker_is_leader(const Worker *w)
{
    return w->leader && w->leader->leads;
}
