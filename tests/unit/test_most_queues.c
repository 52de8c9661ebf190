/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The most queues that vhost-user can name, 256: a blk process with that many of them, each carrying requests while all
 * the others do, by kick fds and by messages. One queue more is refused, by the program and on the wire.
 */
#include "driver/vhost_front.h"

#include "driver/vhost_front_wire.h"
#include <abi/virtio_blk.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { QUEUES = 256, SIZE = 16, SECTOR = 512, ANSWER_MS = 10000, ROUNDS = 3 };
#define BASE UINT64_C(0x40000000)

static const char *program;

struct request {
    struct virtio_blk_req_header *header;
    uint8_t *data, *status;
    struct bh_drv_buf bufs[3];
};

struct bed {
    pid_t child;
    struct bh_vhost_front front;
    struct bh_drv_guest guest;
    struct bh_features features;
    struct bh_drv_queue queue[QUEUES];
    struct request request[QUEUES];
};

static pid_t start(const char *queues, int socket, int errors)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char fd[24], count[32];
        snprintf(fd, sizeof(fd), "--fd=%d", dup(socket));
        snprintf(count, sizeof(count), "--num-queues=%s", queues);
        if (errors >= 0)
            dup2(errors, STDERR_FILENO);
        execl(program, program, fd, count, "--queue-size=16", "--ram-size=1M", (char *)NULL);
        _exit(127);
    }
    return child;
}

static int status_of(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void *place(struct bed *bed, uint32_t len, struct bh_drv_buf *buf)
{
    void *at = bh_drv_guest_alloc(&bed->guest, len, 16, &buf->addr);
    assert_non_null(at);
    buf->len = len;
    return at;
}

static void open_bed(struct bed *bed, bool packed, bool in_band)
{
    int ends[2];
    memset(bed, 0, sizeof(*bed));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    bed->child = start("256", ends[1], -1);
    close(ends[1]);
    assert_int_equal(bh_drv_guest_create(&bed->guest, bh_daddr(BASE), 4u << 20), BH_OK);
    assert_int_equal(bh_vhost_front_init(&bed->front, ends[0], in_band, ANSWER_MS), BH_OK);
    assert_int_equal(bed->front.queue_count, QUEUES);
    assert_int_equal(bh_vhost_front_share(&bed->front, &bed->guest), BH_OK);
    bed->features = bh_features_of64(UINT64_C(1) << BH_F_VERSION_1 | UINT64_C(1) << VIRTIO_BLK_F_MQ |
                                     (packed ? UINT64_C(1) << BH_F_RING_PACKED : 0));
    assert_int_equal(bh_vhost_front_set_features(&bed->front, &bed->features), BH_OK);
    for (unsigned q = 0; q < QUEUES; q++) {
        struct request *request = &bed->request[q];
        assert_int_equal(bh_drv_queue_create(&bed->queue[q], &bed->guest, SIZE, &bed->features, 0), BH_OK);
        assert_int_equal(bh_vhost_front_queue_start(&bed->front, q, &bed->queue[q].setup, packed), BH_OK);
        request->header = place(bed, sizeof(*request->header), &request->bufs[0]);
        request->data = place(bed, SECTOR, &request->bufs[1]);
        request->status = place(bed, 1, &request->bufs[2]);
    }
    assert_int_equal(bh_vhost_front_set_status(&bed->front, 15), BH_OK);
}

static void close_bed(struct bed *bed)
{
    bh_vhost_front_close(&bed->front);
    assert_int_equal(status_of(bed->child), 0);
    for (unsigned q = 0; q < QUEUES; q++)
        bh_drv_queue_destroy(&bed->queue[q]);
    bh_drv_guest_destroy(&bed->guest);
}

/* One request on every queue before any of them is looked for. Queue q's sector is q + round. */
static void on_all(struct bed *bed, uint32_t type, unsigned round)
{
    unsigned left = QUEUES, waits = 0;
    for (unsigned q = 0; q < QUEUES; q++) {
        struct request *request = &bed->request[q];
        request->header->type = bh_le32_of(type);
        request->header->sector = bh_le64_of(q + round);
        memset(request->data, type == VIRTIO_BLK_T_OUT ? (int)(q ^ round) : 0, SECTOR);
        *request->status = 0xff;
        assert_int_equal(bh_drv_ring_add(&bed->queue[q].ring, request->bufs, type == VIRTIO_BLK_T_OUT ? 2 : 1,
                                         type == VIRTIO_BLK_T_OUT ? 1 : 2, request),
                         BH_OK);
    }
    for (unsigned q = 0; q < QUEUES; q++)
        assert_int_equal(bh_vhost_front_kick(&bed->front, q), BH_OK);
    while (left) {
        for (unsigned q = 0; q < QUEUES; q++) {
            void *token;
            uint32_t len;
            const int got = bh_drv_ring_get(&bed->queue[q].ring, &token, &len);
            assert_true(got >= 0);
            if (!got)
                continue;
            assert_ptr_equal(token, &bed->request[q]);
            assert_int_equal(*bed->request[q].status, 0);
            left--;
        }
        assert_true(waits++ < 1000);
        if (left)
            assert_int_equal(bh_vhost_front_wait(&bed->front, 100), BH_OK);
    }
}

static void serve_all(bool packed, bool in_band)
{
    struct bed *bed = malloc(sizeof(*bed));
    const struct vhost_user_vring_state beyond = {QUEUES, SIZE};
    assert_non_null(bed);
    open_bed(bed, packed, in_band);
    for (unsigned round = 0; round < ROUNDS * SIZE; round++) { /* around each ring, and on */
        on_all(bed, VIRTIO_BLK_T_OUT, round);
        on_all(bed, VIRTIO_BLK_T_IN, round);
        for (unsigned q = 0; q < QUEUES; q++)
            for (unsigned i = 0; i < SECTOR; i += SECTOR - 1)
                assert_int_equal(bed->request[q].data[i], (uint8_t)(q ^ round));
    }
    for (unsigned i = 0; i < 2 * QUEUES; i++) /* a message is one notification */
        assert_int_equal(bh_vhost_front_wait(&bed->front, in_band ? 5 : 0), BH_OK);
    for (unsigned q = 0; q < QUEUES; q++) {
        assert_true(bed->front.queue[q].notifications > 0);
        assert_int_equal(bed->front.queue[q].errors, 0);
    }
    /* A ring that the device does not have, by a message with room for its number. */
    assert_int_equal(bh_vhost_front_tell(&bed->front, VHOST_USER_SET_VRING_NUM, &beyond, sizeof(beyond), -1),
                     BH_ERR_INVAL);
    close_bed(bed);
    free(bed);
}

static void each_of_256_queues_carries_requests(void **state)
{
    (void)state;
    serve_all(false, false);
    serve_all(true, false);
}

static void and_without_any_fds(void **state)
{
    (void)state;
    serve_all(false, true);
}

static void one_more_is_refused(void **state)
{
    char text[512] = "";
    int ends[2], errors[2];
    pid_t child;
    size_t length = 0;
    ssize_t got;
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(pipe(errors), 0);
    child = start("257", ends[1], errors[1]);
    close(ends[1]);
    close(errors[1]);
    while ((got = read(errors[0], text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t)got;
    assert_int_equal(status_of(child), 2);
    assert_non_null(strstr(text, "num-queues"));
    assert_non_null(strstr(text, "256"));
    close(ends[0]);
    close(errors[0]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_of_256_queues_carries_requests),
        cmocka_unit_test(and_without_any_fds),
        cmocka_unit_test(one_more_is_refused),
    };
    program = argc > 1 ? argv[1] : "bulkhead-blk";
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
