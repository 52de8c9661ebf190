/* SPDX-License-Identifier: Apache-2.0 */
/* The recovery tests' rig: the keeper, and the device process that it keeps for. */
#include "tests/unit/recovery_rig.h"

#include "tests/unit/send_fds.h"
#include "transports/vhost_user/vhost_user.h"
#include <bulkhead/impl/class.h>
#include <bulkhead/impl/diag.h>
#include <errno.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* --- the device: answers numbers, some late and out of order --------------------------------------------- */

struct answering {
    struct bh_device dev;
    struct bh_virtq queues[REC_QUEUES];
    struct bh_chain *held[REC_QUEUES][REC_CHAINS];
    unsigned held_count[REC_QUEUES];
    struct bh_loop *loop;
    struct bh_loop_timer late;
    uint32_t random;
    uint8_t config[16];
};

static struct answering *answering_of(const struct bh_device *dev)
{
    return BH_CONTAINER(dev, struct answering, dev);
}

static const void *config(const struct bh_device *dev, uint32_t *size)
{
    *size = sizeof(answering_of(dev)->config);
    return answering_of(dev)->config;
}

static int config_write(struct bh_device *dev, uint32_t offset, const void *from, uint32_t len)
{
    memcpy(answering_of(dev)->config + offset, from, len);
    return BH_OK;
}

static struct bh_features features(const struct bh_device *dev)
{
    return bh_class_ring_features();
}

/* Answer what is held of a queue, from a random place on, around. */
static void answer_held(struct answering *a, unsigned index)
{
    const unsigned count = a->held_count[index];
    a->held_count[index] = 0;
    for (unsigned i = 0; i < count; i++) {
        struct bh_chain *chain = a->held[index][(a->random + i) % count];
        uint64_t number = 0;
        bh_chain_read(chain, 0, &number, sizeof(number));
        number = rec_answer(number);
        chain->written = (uint32_t)bh_chain_write(chain, 0, &number, sizeof(number));
        bh_virtq_push(&a->queues[index], &chain, 1);
    }
    a->random = a->random * 1103515245u + 12345u;
}

static void answer_late(struct bh_loop_timer *timer)
{
    struct answering *a = BH_LOOP_OWNER(timer, struct answering, late);
    for (unsigned i = 0; i < REC_QUEUES; i++)
        answer_held(a, i);
}

static enum bh_ready queue_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    struct answering *a = answering_of(dev);
    const unsigned room = REC_CHAINS - a->held_count[q->index];
    struct bh_chain **to = &a->held[q->index][a->held_count[q->index]];
    int count = bh_virtq_pop(q, to, budget < room ? budget : room);
    if (count > 0)
        a->held_count[q->index] += (unsigned)count;
    if (a->random >> 16 & 1)
        answer_held(a, q->index);
    else if (a->held_count[q->index])
        bh_loop_timer_set(a->loop, &a->late, a->random >> 20 & 1, answer_late);
    a->random = a->random * 1103515245u + 12345u;
    return count == (int)budget ? BH_READY_MORE : BH_READY_DRAINED;
}

static void queue_stopping(struct bh_device *dev, struct bh_virtq *q)
{
    answer_held(answering_of(dev), q->index);
}

static int save(struct bh_device *dev, void *to, size_t size)
{
    memcpy(to, answering_of(dev)->config, sizeof(answering_of(dev)->config));
    return sizeof(answering_of(dev)->config);
}

static int load(struct bh_device *dev, const void *from, size_t size)
{
    if (size != sizeof(answering_of(dev)->config))
        return BH_ERR_PROTO;
    memcpy(answering_of(dev)->config, from, size);
    return BH_OK;
}

static const struct bh_class class = {
    .name = "answering",
    .virtio_id = 42,
    .config = config,
    .config_write = config_write,
    .features = features,
    .queue_ready = queue_ready,
    .queue_stopping = queue_stopping,
    .save = save,
    .load = load,
};

/* --- the device process ---------------------------------------------------------------------------------- */

struct pipe_keeper {
    struct bh_keeper keeper;
    int fd;
    unsigned puts, refuse;
};

static int tell(struct bh_keeper *keeper, char verb, const char *name, int fd)
{
    char text[1 + BH_KEEPER_NAME_MAX] = {verb};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec part = {.iov_base = text, .iov_len = 1 + strlen(name) + 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    strcpy(text + 1, name);
    if (fd >= 0) {
        struct cmsghdr *head;
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    }
    return sendmsg(BH_CONTAINER(keeper, struct pipe_keeper, keeper)->fd, &message, MSG_NOSIGNAL) < 0
               ? BH_ERR_IO
               : BH_OK;
}

static int put(struct bh_keeper *keeper, const char *name, int fd)
{
    struct pipe_keeper *self = BH_CONTAINER(keeper, struct pipe_keeper, keeper);
    return ++self->puts == self->refuse ? BH_ERR_IO : tell(keeper, 'P', name, fd);
}

static void drop(struct bh_keeper *keeper, const char *name)
{
    (void)tell(keeper, 'D', name, -1);
}

static const struct bh_keeper_ops keeper_ops = {put, drop};

struct device_process {
    struct bh_loop *loop;
    struct bh_vhost_user *server;
    bool stopped;
};

static void ended(struct bh_vhost_user *server, void *owner)
{
    bh_vhost_user_stop(server);
}

static void stopped(struct bh_vhost_user *server, void *owner)
{
    bh_loop_stop(((struct device_process *)owner)->loop, 0);
}

static const struct bh_vhost_user_owner owner_ops = {NULL, ended, stopped};

static void say(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    fprintf(stderr, "device: %s\n", diag->what);
}

static struct bh_device *make_answering(struct rec *rec, struct bh_loop *loop, struct bh_mem *mem)
{
    static struct answering a;
    struct bh_virtq_memory memory[REC_QUEUES];
    for (unsigned i = 0; i < REC_QUEUES; i++) {
        void *block = malloc(bh_virtq_memory_bytes(REC_SIZE, REC_CHAINS, 8));
        bh_virtq_memory_place(&memory[i], block, REC_SIZE, REC_CHAINS, 8);
    }
    a.random = rec->starts * 7919u + 1;
    a.loop = loop;
    bh_device_init(&a.dev, &class, mem, a.queues, memory, REC_QUEUES);
    return &a.dev;
}

static int run_device(struct rec *rec)
{
    struct pipe_keeper keeper = {{&keeper_ops, rec->kept, rec->kept_count}, rec->notify[1], 0, rec->refuse};
    struct bh_diag_sink sink = {.emit = say};
    struct device_process process = {0};
    struct bh_device *dev;
    struct bh_mem mem;
    int status;
    bh_mem_init(&mem, NULL);
    if (bh_loop_create(&process.loop))
        return 2;
    dev = (rec->make ? rec->make : make_answering)(rec, process.loop, &mem);
    if (bh_vhost_user_create(process.loop, dev, rec->served, "answering", &sink,
                             rec->alone ? NULL : &keeper.keeper, &owner_ops, &process, &process.server))
        return 3;
    status = bh_loop_run(process.loop);
    bh_vhost_user_destroy(process.server);
    return status;
}

void rec_start_device(struct rec *rec, bool traced)
{
    rec->starts++;
    rec_keep(rec);
    rec->device = fork();
    assert_true(rec->device >= 0);
    if (rec->device)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL))
        _exit(77);
    if (traced)
        raise(SIGSTOP);
    if (rec->peer >= 0)
        close(rec->peer); /* the front-end's end is the front-end's alone */
    _exit(run_device(rec));
}

void rec_kill_device(struct rec *rec)
{
    int status;
    kill(rec->device, SIGKILL); /* our child, not waited for yet: the pid is its own */
    assert_int_equal(waitpid(rec->device, &status, __WALL), rec->device);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

void rec_wait_device(struct rec *rec)
{
    int status;
    for (unsigned ms = 0; waitpid(rec->device, &status, WNOHANG) == 0; ms++) {
        assert_true(ms < REC_WAIT_MS);
        rec_keep(rec);
        usleep(1000);
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- the keeper ------------------------------------------------------------------------------------------ */

static struct bh_kept *find(struct rec *rec, const char *name)
{
    for (size_t i = 0; i < rec->kept_count; i++)
        if (strcmp(rec->kept[i].name, name) == 0)
            return &rec->kept[i];
    return NULL;
}

static void kept_one(struct rec *rec, const char *text, int fd)
{
    struct bh_kept *old = find(rec, text + 1);
    const bool lost = rec->loses && strncmp(text + 1, "vu-state", 8) == 0;
    if (text[0] == 'P' && lost && old) { /* a name keeps one */
        close(old->fd);
        old->fd = fd;
    } else if (text[0] == 'P') {
        rec->puts++;
        assert_true(fd >= 0 && !old); /* a name is put once */
        /* systemd would drop a second name for what it has already. */
        for (size_t i = 0; i < rec->kept_count; i++)
            assert_int_not_equal(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fd, rec->kept[i].fd), 0);
        assert_true(rec->kept_count < REC_KEPT);
        rec->kept[rec->kept_count].fd = fd;
        strcpy(rec->kept[rec->kept_count++].name, text + 1);
    } else if (!lost) {
        rec->drops++;
        assert_int_equal(fd, -1);
        if (!old)
            return;
        close(old->fd);
        *old = rec->kept[--rec->kept_count];
    }
}

void rec_keep(struct rec *rec)
{
    for (;;) {
        char text[1 + BH_KEEPER_NAME_MAX] = "";
        int fd;
        if (test_recv_fd(rec->notify[0], text, sizeof(text), MSG_DONTWAIT, &fd) <= 0)
            return;
        kept_one(rec, text, fd);
    }
}

void rec_open(struct rec *rec)
{
    int ends[2];
    memset(rec, 0, sizeof(*rec));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, rec->notify), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    rec->peer = ends[0];
    rec->served = ends[1];
}

void rec_open_alone(struct rec *rec)
{
    rec_open(rec);
    close(rec->peer);
    close(rec->served);
    rec->peer = -1;
    rec->alone = true;
    rec->address.sun_family = AF_UNIX;
    rec->address_size = sizeof(rec->address);
    rec->served = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* An abstract name that the kernel picks: nothing to clean up. */
    assert_int_equal(bind(rec->served, (struct sockaddr *)&rec->address, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(rec->served, 4), 0);
    assert_int_equal(getsockname(rec->served, (struct sockaddr *)&rec->address, &rec->address_size), 0);
}

int rec_connect(const struct rec *rec)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)&rec->address, rec->address_size) == 0);
    return fd;
}

void rec_close(struct rec *rec)
{
    rec_keep(rec);
    while (rec->loses && rec->kept_count && strncmp(rec->kept[rec->kept_count - 1].name, "vu-state", 8) == 0)
        close(rec->kept[--rec->kept_count].fd);
    for (size_t i = 0; i < rec->kept_count; i++)
        fprintf(stderr, "still kept: %s\n", rec->kept[i].name);
    assert_int_equal(rec->kept_count, 0);
    close(rec->served);
    close(rec->notify[0]);
    close(rec->notify[1]);
}

void rec_start_front(struct rec *rec, int (*front)(struct rec *rec, void *how), void *how)
{
    rec->front = fork();
    assert_true(rec->front >= 0);
    if (!rec->front) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(rec->served);
        _exit(front(rec, how));
    }
    if (rec->peer >= 0)
        close(rec->peer);
    rec->peer = -1;
}
