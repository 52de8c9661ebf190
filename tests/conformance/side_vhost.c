/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite's vhost-user: a device process started with one end of a socket pair, driven by the
 * project's front-end. The process is ended by closing the connection and waited for; one that does not go is
 * killed, which fails the case.
 */
#include "driver/vhost_front.h"
#include "tests/conformance/conf.h"

#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MS 5000

struct vhost_side {
    struct conf_side side;
    struct bh_vhost_front front;
    pid_t child;
    uint32_t started; /* bit a queue */
};

static struct vhost_side *mine(struct conf_side *side)
{
    return BH_CONTAINER(side, struct vhost_side, side);
}

static struct bh_features offered(struct conf_side *side)
{
    return bh_vhost_front_features(&mine(side)->front);
}

static int negotiate(struct conf_side *side, const struct bh_features *features)
{
    side->packed = bh_features_has(features, BH_F_RING_PACKED);
    return bh_vhost_front_negotiate(&mine(side)->front, features);
}

static int get_status(struct conf_side *side, uint8_t *status)
{
    return bh_vhost_front_get_status(&mine(side)->front, status);
}

static int set_status(struct conf_side *side, uint8_t status)
{
    return bh_vhost_front_set_status(&mine(side)->front, status);
}

static int config_read(struct conf_side *side, uint32_t offset, void *to, uint32_t len)
{
    return bh_vhost_front_config_read(&mine(side)->front, offset, to, len);
}

static int config_write(struct conf_side *side, uint32_t offset, const void *from, uint32_t len)
{
    return bh_vhost_front_config_write(&mine(side)->front, offset, from, len);
}

static int queue_start(struct conf_side *side, unsigned index, const struct bh_virtq_setup *setup)
{
    struct vhost_side *v = mine(side);
    int err = bh_vhost_front_queue_start(&v->front, index, setup, side->packed);

    if (err)
        return err;
    v->started |= 1u << index;
    return bh_vhost_front_kick(&v->front,
                               index); /* a ring starts with its first [vhost-user, "Ring states"] */
}

static int queue_stop(struct conf_side *side, unsigned index, struct bh_virtq_state *state)
{
    mine(side)->started &= ~(1u << index);
    return bh_vhost_front_queue_stop(&mine(side)->front, index, state);
}

static int driver_ok(struct conf_side *side)
{
    return bh_vhost_front_driver_ok(&mine(side)->front);
}

/* As a VMM resets: stop the rings, then the device, where it can be told. The status is 0 when it is done. */
static int reset(struct conf_side *side)
{
    struct vhost_side *v = mine(side);
    int err = BH_OK;

    for (unsigned i = 0; i < CONF_QUEUES && !err; i++) {
        if (v->started >> i & 1u)
            err = bh_vhost_front_queue_stop(&v->front, i, NULL);
        v->front.queue[i].errors = 0;
    }
    v->started = 0;
    if (!err)
        err = bh_vhost_front_set_status(&v->front, 0);
    if (err == BH_ERR_UNSUPPORTED)
        err = bh_vhost_front_reset(&v->front);
    if (err == BH_ERR_UNSUPPORTED)
        return BH_OK; /* a device with neither message is reset when its rings are stopped */
    for (unsigned i = 0; i < 400 && !err; i++) {
        uint8_t status;
        struct timespec moment = {0, 5000000};

        err = bh_vhost_front_get_status(&v->front, &status);
        if (err == BH_ERR_UNSUPPORTED || (!err && status == 0))
            return BH_OK;
        nanosleep(&moment, NULL);
    }
    return err ? err : BH_ERR_TIMEOUT;
}

/* One that fails shows at the next step: nothing more is answered. */
static void kick(struct conf_side *side, unsigned index)
{
    if (bh_vhost_front_kick(&mine(side)->front, index))
        (void)shutdown(mine(side)->front.fd, SHUT_RDWR);
}

static int wait_side(struct conf_side *side, int timeout_ms)
{
    return bh_vhost_front_wait(&mine(side)->front, timeout_ms);
}

static uint32_t notifications(struct conf_side *side, unsigned index)
{
    return mine(side)->front.queue[index].notifications;
}

static uint32_t errors(struct conf_side *side, unsigned index)
{
    return mine(side)->front.queue[index].errors;
}

static void end_child(pid_t child)
{
    int status;

    for (unsigned i = 0; i < 600; i++) {
        struct timespec moment = {0, 5000000};

        if (waitpid(child, &status, WNOHANG) == child) {
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                printf("Bail out! the device process ended badly (0x%x)\n", (unsigned)status);
            return;
        }
        nanosleep(&moment, NULL);
    }
    printf("Bail out! the device process does not end when its front-end went away\n");
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
}

static void close_side(struct conf_side *side)
{
    struct vhost_side *v = mine(side);

    bh_vhost_front_close(&v->front);
    if (v->child > 0)
        end_child(v->child);
    free(v);
}

static const struct conf_side_ops vhost_side_ops = {
    .name = "vhost-user",
    .offered = offered,
    .negotiate = negotiate,
    .get_status = get_status,
    .set_status = set_status,
    .config_read = config_read,
    .config_write = config_write,
    .queue_start = queue_start,
    .queue_stop = queue_stop,
    .driver_ok = driver_ok,
    .reset = reset,
    .kick = kick,
    .wait = wait_side,
    .notifications = notifications,
    .errors = errors,
    .close = close_side,
};

/* In the child: become the device program. The socket is the only fd beside stdio that it gets. */
static _Noreturn void become(const struct conf_plan *plan, int fd)
{
    char option[32];
    char *argv[66] = {(char *)plan->program, option};

    for (unsigned i = 0; i < 62 && plan->arguments[i]; i++)
        argv[i + 2] = plan->arguments[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(option, sizeof(option), "--fd=%d", dup(fd)); /* without CLOEXEC */
    execvp(plan->program, argv);
    _exit(127);
}

/* Our end of a connection to a process that was started for this case; -1: there is none. */
static int start_program(const struct conf_plan *plan, pid_t *child)
{
    int pair[2];

    if (!plan->program || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return -1;
    fflush(stdout);
    *child = fork();
    if (*child == 0)
        become(plan, pair[1]);
    close(pair[1]);
    if (*child > 0)
        return pair[0];
    close(pair[0]);
    return -1;
}

/* A connection, and the guest's memory on it. */
static int open_front(const struct conf_plan *plan, struct bh_drv_guest *guest, struct vhost_side *v)
{
    const int fd =
        plan->connect ? bh_unix_connect(plan->connect, SOCK_STREAM) : start_program(plan, &v->child);
    int err;

    if (fd < 0)
        return plan->connect ? BH_ERR_NOENT : BH_ERR_IO;
    err = bh_vhost_front_init(&v->front, fd, plan->in_band, ANSWER_MS);
    if (!err) {
        err = bh_vhost_front_share(&v->front, guest);
        if (err)
            bh_vhost_front_close(&v->front);
    }
    return err;
}

/*
 * Some lay their socket anew for each connection: for a moment nobody listens, or who still does hangs up. That is a
 * matter of the program, not of the device.
 */
static int open_front_again(const struct conf_plan *plan, struct bh_drv_guest *guest, struct vhost_side *v)
{
    int err = open_front(plan, guest, v);

    for (int waited = 0; plan->connect && waited < plan->reconnect_ms; waited += 5) {
        struct timespec moment = {0, 5000000};

        if (err != BH_ERR_NOENT && err != BH_ERR_CLOSED)
            break;
        nanosleep(&moment, NULL);
        err = open_front(plan, guest, v);
    }
    return err;
}

int conf_open_vhost(const struct conf_plan *plan, struct bh_drv_guest *guest, struct conf_side **side)
{
    struct vhost_side *v = calloc(1, sizeof(*v));
    int err;

    if (!v)
        return BH_ERR_NOMEM;
    err = open_front_again(plan, guest, v);
    if (err) {
        const int why = errno;

        if (v->child > 0)
            end_child(v->child);
        free(v);
        errno = why;
        return err;
    }
    if (v->front.queue_count < plan->queue_min)
        v->front.queue_count =
            plan->queue_min; /* without MQ a front-end knows [vhost-user, "Multiple queue support"] */
    v->side = (struct conf_side){.ops = &vhost_side_ops, .guest = guest, .queue_count = v->front.queue_count};
    *side = &v->side;
    return BH_OK;
}
