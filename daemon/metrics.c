/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP for Prometheus, by libmicrohttpd on our loop: its epoll set is one fd that we watch. A request is suspended
 * while the device processes are asked, and answered when they were.
 */
#include "daemon/metrics.h"
#include "daemon/ask.h"
#include "daemon/system.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 8, IDLE_S = 10, CONNECTION_MEMORY = 16 * 1024 };

/* One request. */
struct visit {
    struct metrics *metrics;
    struct MHD_Connection *connection;
    struct stats *stats; /* asked, not answered yet: the connection is suspended */
    bool asked;
    json_t *report; /* NULL though asked: there is none */
    struct visit *next, **link;
};

struct metrics {
    struct system *system;
    struct MHD_Daemon *http;
    struct bh_loop_fd watch;
    struct bh_loop_timer timer;
    struct bh_loop_work work;
    struct visit *visits;
};

static void run_http(struct metrics *metrics);

static void run_watch(struct bh_loop_fd *watch, uint32_t events)
{
    run_http(BH_LOOP_OWNER(watch, struct metrics, watch));
}

static void run_timer(struct bh_loop_timer *timer)
{
    run_http(BH_LOOP_OWNER(timer, struct metrics, timer));
}

static void run_work(struct bh_loop_work *work)
{
    run_http(BH_LOOP_OWNER(work, struct metrics, work));
}

static void run_http(struct metrics *metrics)
{
    MHD_UNSIGNED_LONG_LONG ms;
    (void)MHD_run(metrics->http);
    if (MHD_get_timeout(metrics->http, &ms) == MHD_YES)
        bh_loop_timer_set(metrics->system->loop, &metrics->timer, (unsigned)(ms > 1000 ? 1000 : ms),
                          run_timer);
    else
        bh_loop_timer_cancel(&metrics->timer);
}

static void gathered(void *owner, json_t *report)
{
    struct visit *visit = owner;
    visit->stats = NULL;
    visit->report = report;
    MHD_resume_connection(visit->connection);
    bh_loop_defer(visit->metrics->system->loop, &visit->metrics->work, run_work);
}

static enum MHD_Result send_text(struct MHD_Connection *connection, unsigned status, char *text,
                                 enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(text), text, mode);
    if (!response)
        return MHD_NO;
    enum MHD_Result sent =
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; version=0.0.4");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        sent = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET");
    if (sent == MHD_YES)
        sent = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return sent;
}

static enum MHD_Result send_report(struct visit *visit)
{
    static char none[] = "the counters cannot be gathered\n";
    char *text = visit->report ? metrics_text(visit->report) : NULL;
    if (!text)
        return send_text(visit->connection, MHD_HTTP_SERVICE_UNAVAILABLE, none, MHD_RESPMEM_PERSISTENT);
    return send_text(visit->connection, MHD_HTTP_OK, text, MHD_RESPMEM_MUST_FREE);
}

static struct visit *begin(struct metrics *metrics, struct MHD_Connection *connection)
{
    struct visit *visit = calloc(1, sizeof(*visit));
    if (!visit)
        return NULL;
    *visit = (struct visit){
        .metrics = metrics, .connection = connection, .next = metrics->visits, .link = &metrics->visits};
    if (visit->next)
        visit->next->link = &visit->next;
    metrics->visits = visit;
    return visit;
}

/* Called for the headers, for each piece of a body, at the request's end, and again after each resume. */
static enum MHD_Result handle(void *owner, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *body, size_t *body_size,
                              void **state)
{
    static char not_get[] = "there is only GET\n", not_found[] = "there is only /metrics\n";
    struct visit *visit = *state;
    if (!visit) {
        *state = begin(owner, connection);
        return *state ? MHD_YES : MHD_NO;
    }
    if (*body_size) {
        *body_size = 0; /* nobody reads it */
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0)
        return send_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, not_get, MHD_RESPMEM_PERSISTENT);
    if (strcmp(url, "/metrics") != 0)
        return send_text(connection, MHD_HTTP_NOT_FOUND, not_found, MHD_RESPMEM_PERSISTENT);
    if (visit->asked)
        return send_report(visit);
    visit->asked = true;
    visit->stats = stats_gather(visit->metrics->system, NULL, gathered, visit);
    if (!visit->stats)
        return send_report(visit);
    MHD_suspend_connection(connection);
    return MHD_YES;
}

static void completed(void *owner, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode why)
{
    struct visit *visit = *state;
    if (!visit)
        return;
    *state = NULL;
    stats_cancel(visit->stats);
    json_decref(visit->report);
    *visit->link = visit->next;
    if (visit->next)
        visit->next->link = visit->link;
    free(visit);
}

int metrics_open(struct system *system, struct metrics **out)
{
    struct metrics *metrics = calloc(1, sizeof(*metrics));
    const union MHD_DaemonInfo *info;
    int err = BH_ERR_IO;
    if (!metrics)
        return BH_ERR_NOMEM;
    const int fd = socket_bind("metrics.sock", SOCK_STREAM);
    if (fd < 0)
        goto no_socket;
    metrics->system = system;
    metrics->http = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle, metrics, MHD_OPTION_LISTEN_SOCKET,
        fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_END);
    if (!metrics->http) {
        close(fd);
        goto no_socket;
    }
    info = MHD_get_daemon_info(metrics->http, MHD_DAEMON_INFO_EPOLL_FD);
    err = info ? bh_loop_fd_add(system->loop, &metrics->watch, info->epoll_fd, BH_LOOP_READ, run_watch)
               : BH_ERR_IO;
    if (err)
        goto stop;
    *out = metrics;
    return BH_OK;

stop:
    MHD_stop_daemon(metrics->http);
no_socket:
    free(metrics);
    return err;
}

void metrics_close(struct metrics *metrics)
{
    if (!metrics)
        return;
    for (struct visit *visit = metrics->visits; visit; visit = visit->next) {
        if (!visit->stats)
            continue;
        stats_cancel(visit->stats);
        visit->stats = NULL;
        MHD_resume_connection(visit->connection); /* none may be suspended when it stops */
    }
    bh_loop_fd_remove(&metrics->watch);
    bh_loop_timer_cancel(&metrics->timer);
    bh_loop_work_cancel(&metrics->work);
    MHD_stop_daemon(metrics->http);
    free(metrics);
}
