/* /metrics for Prometheus, /healthz (the loop turns), /readyz (work is being done), through libmicrohttpd's epoll
 * descriptor in our own loop: no thread. */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "internal.h"

struct Http {
    Worker *worker;
    struct MHD_Daemon *daemon;
    int epoll_fd;
};

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, const char *type, Str body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.len, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    enum MHD_Result r = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return r;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                              const char *version, const char *data, size_t *size, void **state)
{
    const Worker *w = ((Http *)cls)->worker;
    cleanup(buf_free) Buf body = {0};
    (void)version;
    (void)data;
    (void)size;
    (void)state;

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return reply(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", STR("only GET\n"));
    if (strcmp(url, "/metrics") == 0) {
        metrics_render(&body);
        return reply(connection, MHD_HTTP_OK, "text/plain; version=0.0.4", buf_str(&body));
    }
    if (strcmp(url, "/healthz") == 0)
        return reply(connection, MHD_HTTP_OK, "text/plain", STR("ok\n"));
    if (strcmp(url, "/readyz") == 0) {
        buf_printf(&body, "%s\n", w->not_ready ? w->not_ready : "ready");
        return reply(connection, w->not_ready ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, "text/plain",
                     buf_str(&body));
    }
    return reply(connection, MHD_HTTP_NOT_FOUND, "text/plain", STR("see /metrics, /healthz, /readyz\n"));
}

static void run(Worker *w, int fd, short events, void *arg)
{
    Http *h = arg;
    (void)w;
    (void)fd;
    (void)events;
    MHD_run(h->daemon);
}

void http_serve(Http *h)
{
    if (h && h->daemon)
        MHD_run(h->daemon);
}

static int write_port_file(Worker *w, unsigned port)
{
    const char *path = w->config.metrics_port_file;
    if (!*path)
        return 0;
    FILE *f = fopen(path, "we");
    if (!f || fprintf(f, "%u\n", port) < 0 || fclose(f) != 0)
        return worker_fail(w, 78, "cannot write metrics_port_file %s: %s", path, strerror(errno));
    return 0;
}

/* "host:port" or "[address]:port". */
static int resolve(Worker *w, struct sockaddr_storage *ret, bool *ret_v6)
{
    const char *listen = w->config.metrics_listen, *colon = strrchr(listen, ':');
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char host[256] = "";

    if (!colon || (size_t)(colon - listen) >= sizeof(host))
        return worker_fail(w, 78, "metrics_listen = %s: expected host:port", listen);
    int64_t port; /* getaddrinfo() takes 99999 for 34463 */
    if (text_to_int64(str_from(colon + 1), &port) && (port < 0 || port > UINT16_MAX))
        return worker_fail(w, 78, "metrics_listen = %s: ports end at 65535", listen);
    size_t n = (size_t)(colon - listen);
    bool bracketed = n > 2 && listen[0] == '[' && listen[n - 1] == ']';
    memcpy(host, listen + bracketed, n - (bracketed ? 2 : 0));
    int e = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
    if (e != 0)
        return worker_fail(w, 78, "metrics_listen = %s: %s", listen, gai_strerror(e));
    memcpy(ret, found->ai_addr, found->ai_addrlen);
    *ret_v6 = found->ai_family == AF_INET6;
    freeaddrinfo(found);
    return 0;
}

int http_start(Worker *w, Http **ret)
{
    struct sockaddr_storage address;
    bool v6 = false;

    if (!*w->config.metrics_listen)
        return 0;
    int r = resolve(w, &address, &v6);
    if (r != 0)
        return r;
    Http *h = calloc(1, sizeof(*h));
    if (!h)
        abort();
    h->worker = w;
    h->daemon = MHD_start_daemon(MHD_USE_EPOLL | (v6 ? MHD_USE_IPv6 : 0), 0, NULL, NULL, handle, h,
                                 MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_CONNECTION_LIMIT, 16u,
                                 MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = h->daemon ? MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        r = worker_fail(w, 78, "cannot listen on metrics_listen = %s: %s", w->config.metrics_listen, strerror(errno));
        http_stop(h);
        return r;
    }
    h->epoll_fd = info->epoll_fd;
    worker_watch_fd(w, h->epoll_fd, POLLIN, run, h);
    info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
    *ret = h;
    return write_port_file(w, info ? info->port : 0);
}

void http_stop(Http *h)
{
    if (!h)
        return;
    if (h->daemon) {
        worker_unwatch_fd(h->worker, h->epoll_fd);
        MHD_stop_daemon(h->daemon);
    }
    free(h);
}
