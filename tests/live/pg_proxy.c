#include "pg_proxy.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"
#include "pg_harness.h"

enum { CONNECTIONS_MAX = 16, BLOCK_BYTES = 65536, TICK_MS = 5, ANSWER_MS = 5000 };

/* What libpq sends for COMMIT: a simple query, its length, its text with a NUL. */
static const char commit_message[] = {'Q', 0, 0, 0, 11, 'C', 'O', 'M', 'M', 'I', 'T', '\0'};

typedef struct Link {
    int client, server;
    bool marked; /* the open transaction used the statement we wait for */
} Link;

struct PgProxy {
    char *folder, *server_folder;
    int listener;
    pthread_t thread;
    pthread_mutex_t lock;
    /* guarded by the lock */
    bool stop, shut, refuse, armed;
    PgCut cut;
    char statement[64];
    int cuts;
    /* the thread's own */
    Link links[CONNECTIONS_MAX];
    size_t n_links;
    char *block;
};

static struct sockaddr_un address_in(const char *folder)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/.s.PGSQL.5432", folder);
    cr_assert(n > 0 && (size_t)n < sizeof(a.sun_path), "%s is too long for a socket", folder);
    return a;
}

static void drop(PgProxy *p, size_t i)
{
    close(p->links[i].client);
    close(p->links[i].server);
    p->links[i] = p->links[--p->n_links];
}

static void take_connection(PgProxy *p)
{
    struct sockaddr_un address = address_in(p->server_folder);
    int client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC), server;

    if (client < 0)
        return;
    pthread_mutex_lock(&p->lock);
    bool refuse = p->refuse;
    pthread_mutex_unlock(&p->lock);
    if (refuse) {
        close(client);
        return;
    }
    server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->n_links == CONNECTIONS_MAX || server < 0 ||
        connect(server, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(client);
        close(server);
        return;
    }
    p->links[p->n_links++] = (Link){client, server, false};
}

static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* The transaction is over for the server once it answered. */
static void await_answer(int server, char *block)
{
    struct pollfd fd = {.fd = server, .events = POLLIN};
    if (poll(&fd, 1, ANSWER_MS) > 0)
        (void)!recv(server, block, BLOCK_BYTES, 0);
}

/* From the program to the server; false: the connection is to be broken. libpq sends COMMIT alone, after it has read
 * all earlier answers, so it is one block. */
static bool forward(PgProxy *p, Link *link)
{
    ssize_t n = recv(link->client, p->block, BLOCK_BYTES, 0);
    bool cut = false;

    if (n <= 0)
        return false;
    bool commit = (size_t)n == sizeof(commit_message) && memcmp(p->block, commit_message, sizeof(commit_message)) == 0;
    pthread_mutex_lock(&p->lock);
    PgCut how = p->cut;
    if (p->armed && memmem(p->block, (size_t)n, p->statement, strlen(p->statement)))
        link->marked = true;
    if (commit && p->armed && link->marked) {
        cut = true;
        p->armed = false;
        p->cuts++;
    }
    pthread_mutex_unlock(&p->lock);
    if (commit)
        link->marked = false;
    if (cut && how == PG_CUT_BEFORE)
        return false;
    if (!send_all(link->server, p->block, (size_t)n))
        return false;
    if (cut)
        await_answer(link->server, p->block);
    return !cut;
}

static bool give_back(PgProxy *p, const Link *link)
{
    ssize_t n = recv(link->server, p->block, BLOCK_BYTES, 0);
    return n > 0 && send_all(link->client, p->block, (size_t)n);
}

static void serve(PgProxy *p)
{
    struct pollfd fds[1 + 2 * CONNECTIONS_MAX];
    size_t n = p->n_links;

    fds[0] = (struct pollfd){.fd = p->listener, .events = POLLIN};
    for (size_t i = 0; i < n; i++) {
        fds[1 + 2 * i] = (struct pollfd){.fd = p->links[i].client, .events = POLLIN};
        fds[2 + 2 * i] = (struct pollfd){.fd = p->links[i].server, .events = POLLIN};
    }
    if (poll(fds, 1 + 2 * n, TICK_MS) <= 0)
        return;
    for (size_t i = n; i-- > 0;) { /* backwards: drop() moves the last one into the gap */
        bool ok = true;
        if (fds[1 + 2 * i].revents)
            ok = forward(p, &p->links[i]);
        if (ok && fds[2 + 2 * i].revents)
            ok = give_back(p, &p->links[i]);
        if (!ok)
            drop(p, i);
    }
    if (fds[0].revents)
        take_connection(p);
}

static void *run(void *arg)
{
    PgProxy *p = arg;

    for (;;) {
        pthread_mutex_lock(&p->lock);
        bool stop = p->stop, shut = p->shut;
        pthread_mutex_unlock(&p->lock);
        if (stop || shut) /* whoever came in since the last turn goes as well */
            while (p->n_links > 0)
                drop(p, p->n_links - 1);
        if (stop)
            return NULL;
        serve(p);
    }
}

PgProxy *pg_proxy_start(void)
{
    PgProxy *p = calloc(1, sizeof(*p));
    cr_assert_not_null(p);
    p->folder = harness_folder();
    p->server_folder = harness_pg_socket_folder();
    p->block = malloc(BLOCK_BYTES);
    struct sockaddr_un address = address_in(p->folder);

    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(p->listener, (struct sockaddr *)&address, sizeof(address)), 0, "%s", strerror(errno));
    cr_assert_eq(listen(p->listener, CONNECTIONS_MAX), 0);
    pthread_mutex_init(&p->lock, NULL);
    cr_assert_eq(pthread_create(&p->thread, NULL, run, p), 0);
    return p;
}

void pg_proxy_stop(PgProxy *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_mutex_destroy(&p->lock);
    close(p->listener);
    free(p->block);
    free(p->folder);
    free(p->server_folder);
    free(p);
}

const char *pg_proxy_folder(const PgProxy *p)
{
    return p->folder;
}

void pg_proxy_shut(PgProxy *p, bool shut)
{
    pthread_mutex_lock(&p->lock);
    p->shut = shut;
    pthread_mutex_unlock(&p->lock);
}

void pg_proxy_refuse(PgProxy *p, bool refuse)
{
    pthread_mutex_lock(&p->lock);
    p->refuse = refuse;
    pthread_mutex_unlock(&p->lock);
}

void pg_proxy_cut_commit(PgProxy *p, PgCut cut, const char *name)
{
    pthread_mutex_lock(&p->lock);
    p->armed = true;
    p->cut = cut;
    snprintf(p->statement, sizeof(p->statement), "%s", name);
    pthread_mutex_unlock(&p->lock);
}

int pg_proxy_cuts(PgProxy *p)
{
    pthread_mutex_lock(&p->lock);
    int n = p->cuts;
    pthread_mutex_unlock(&p->lock);
    return n;
}
