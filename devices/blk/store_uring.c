/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image's bytes through io_uring.
 *
 * Theory of operation
 *   A batch becomes submission entries and one io_uring_submit. What finds no room in the ring waits in
 * `pending` and is entered when completions have made some. The ring's own fd is watched by the loop: it is
 * readable while completions wait, so that what was polled right after the submission costs no wake-up. A
 * request that needs another step (the rest of a short transfer, the sync after zeroing) goes through
 * `pending` again. Both fds of the image are registered, which saves the kernel their look-up. What a block device is
 * asked by calls without an asynchronous form goes to a thread of a store beside this one, whose completions come out
 * of the same poll.
 *
 * #syscalls io_uring_enter
 */
#include "devices/blk/store_file.h"
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES_MIN     64u
#define ENTRIES_MAX     4096u
#define SUBMIT_AGAIN_MS 1u

enum { FILE_CACHED, FILE_DIRECT };

struct uring {
    struct bh_store_file file;
    struct bh_loop *loop;
    struct io_uring ring;
    unsigned entries;
    unsigned in_flight; /* submission entries without their completion */
    struct bh_store_list pending;
    struct bh_store_list over;  /* cancelled before they were entered */
    struct bh_store_file *side; /* of a block device: for what has to wait in a thread */
    struct bh_loop_fd watch;
    struct bh_loop_timer again;
};

static struct uring *uring_of(struct bh_store *store)
{
    return BH_CONTAINER(BH_CONTAINER(store, struct bh_store_file, store), struct uring, file);
}

static void prepare(struct uring *u, struct io_uring_sqe *sqe, const struct bh_image_step *step)
{
    int fd = step->direct ? FILE_DIRECT : FILE_CACHED;
    const struct iovec *iov = (const struct iovec *)(const void *)step->segs;

    switch (step->call) {
    case BH_CALL_READV: io_uring_prep_readv2(sqe, fd, iov, step->seg_count, step->offset, step->flags); break;
    case BH_CALL_WRITEV:
        io_uring_prep_writev2(sqe, fd, iov, step->seg_count, step->offset, step->flags);
        break;
    case BH_CALL_FDATASYNC: io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC); break;
    case BH_CALL_FALLOCATE:
        io_uring_prep_fallocate(sqe, fd, step->flags, (off_t)step->offset, (off_t)step->len);
        break;
    case BH_CALL_DISCARD:
    case BH_CALL_ERASE:
    case BH_CALL_LIFETIME: BH_ASSERT(!"a step for a thread"); break;
    }
    sqe->flags |= IOSQE_FIXED_FILE;
}

static void enter(struct uring *u);

static void enter_again(struct bh_loop_timer *timer)
{
    struct uring *u = BH_LOOP_OWNER(timer, struct uring, again);

    enter(u);
    if (u->over.head)
        u->file.store.wake(&u->file.store);
}

/* Turn what is pending into submission entries, and tell the kernel once. */
static void enter(struct uring *u)
{
    struct bh_image_step step;
    bool answered = false;

    while (u->pending.head && u->in_flight < u->entries) {
        struct bh_store_req *req = u->pending.head;
        if (!bh_image_next(u->file.image, req, &step)) {
            bh_store_list_add(&u->over, bh_store_list_take(&u->pending));
            answered = true;
            continue;
        }
        struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
        if (!sqe)
            break;
        bh_store_list_take(&u->pending);
        prepare(u, sqe, &step);
        io_uring_sqe_set_data(sqe, req);
        u->in_flight++;
    }
    /* The kernel may be short of memory, or of room for completions: what it did not take stays in the ring.
     */
    if (io_uring_sq_ready(&u->ring) > 0 && io_uring_submit(&u->ring) < 0)
        bh_loop_timer_set(u->loop, &u->again, SUBMIT_AGAIN_MS, enter_again);
    if (answered)
        bh_loop_timer_set(u->loop, &u->again, 0, enter_again);
}

static void submit(struct bh_store *store, struct bh_store_req *first)
{
    struct uring *u = uring_of(store);
    struct bh_store_list waiting = {0};

    while (first) {
        struct bh_store_req *next = first->next;
        if (u->side && bh_image_wants_thread(u->file.image, first)) {
            bh_store_list_add(&waiting, first);
        } else {
            bh_image_start(first);
            bh_store_list_add(&u->pending, first);
        }
        first = next;
    }
    if (waiting.head)
        u->side->store.ops->submit(&u->side->store, waiting.head);
    enter(u);
}

static unsigned poll(struct bh_store *store, struct bh_store_req **done, unsigned max)
{
    struct uring *u = uring_of(store);
    struct io_uring_cqe *cqe;
    unsigned count = 0;

    while (count < max && u->over.head)
        done[count++] = bh_store_list_take(&u->over);
    while (count < max && io_uring_peek_cqe(&u->ring, &cqe) == 0) {
        struct bh_store_req *req = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&u->ring, cqe);
        u->in_flight--;
        if (!req) /* the answer to a cancel */
            continue;
        if (bh_image_result(u->file.image, req, result))
            done[count++] = req;
        else
            bh_store_list_add(&u->pending, req);
    }
    if (u->pending.head || io_uring_sq_ready(&u->ring) > 0)
        enter(u);
    if (u->side && count < max)
        count += u->side->store.ops->poll(&u->side->store, done + count, max - count);
    return count;
}

static void cancel(struct bh_store *store)
{
    struct uring *u = uring_of(store);

    if (u->side)
        u->side->store.ops->cancel(&u->side->store);
    for (struct bh_store_req *req = bh_store_list_take(&u->pending); req;
         req = bh_store_list_take(&u->pending)) {
        bh_image_result(u->file.image, req, -ECANCELED);
        bh_store_list_add(&u->over, req);
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (sqe) { /* without room for it the requests come back when they are done */
        io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
        io_uring_sqe_set_data(sqe, NULL);
        u->in_flight++;
    }
    enter(u);
    bh_loop_timer_set(u->loop, &u->again, 0, enter_again);
}

static int acquire(struct bh_store *store)
{
    return bh_image_acquire(uring_of(store)->file.image);
}

static void release(struct bh_store *store)
{
    bh_image_release(uring_of(store)->file.image);
}

static const struct bh_store_ops uring_ops = {
    .submit = submit,
    .poll = poll,
    .cancel = cancel,
    .acquire = acquire,
    .release = release,
};

static void ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct uring *u = BH_LOOP_OWNER(watch, struct uring, watch);

    u->file.store.wake(&u->file.store);
}

static void destroy(struct bh_store_file *file)
{
    struct uring *u = BH_CONTAINER(file, struct uring, file);

    bh_store_file_destroy(u->side);
    bh_loop_timer_cancel(&u->again);
    bh_loop_fd_remove(&u->watch);
    io_uring_queue_exit(&u->ring);
    free(u);
}

static const char *reason(int err)
{
    switch (-err) {
    case ENOSYS: return "this kernel has none";
    case EPERM:
    case EACCES: return "forbidden on this host (kernel.io_uring_disabled, or a seccomp filter)";
    case ENOMEM: return "the limit on locked memory is too low";
    default: return strerror(-err);
    }
}

/* All that we ask of a ring; nothing else can be asked of it (restrict_ring). */
static const uint8_t wanted[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE,
                                 IORING_OP_ASYNC_CANCEL};

static const char *missing_op(struct io_uring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    const char *missing = probe ? NULL : "this kernel's is too old";

    for (unsigned i = 0; i < BH_COUNT(wanted) && !missing; i++) {
        if (!io_uring_opcode_supported(probe, wanted[i]))
            missing = "this kernel's is too old";
    }
    io_uring_free_probe(probe);
    return missing;
}

/*
 * A filter of system calls does not see what a ring is asked to do. So the ring is told, while it is still disabled,
 * that it will never do but this, and on the two registered files alone (a cancel has no file).
 */
static int restrict_ring(struct io_uring *ring)
{
    struct io_uring_restriction allowed[BH_COUNT(wanted) + 1] = {{0}};

    for (unsigned i = 0; i < BH_COUNT(wanted); i++)
        allowed[i] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = wanted[i]};
    allowed[BH_COUNT(wanted)] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
                                                              .sqe_flags = IOSQE_FIXED_FILE};
    /* liburing 2.3 declares functions for both, and does not export them. */
    if (syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, allowed,
                BH_COUNT(allowed)) ||
        syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0))
        return -errno;
    return 0;
}

static void side_ready(struct bh_store *side)
{
    struct uring *u = side->user;

    u->file.store.wake(&u->file.store);
}

static int make_side(struct uring *u)
{
    const struct bh_store_info *info = &u->file.image->info;
    int err;

    if (!u->file.image->is_block || !(info->can_discard || info->can_secure_erase || info->has_lifetime))
        return BH_OK;
    err = bh_store_threads_create(u->loop, u->file.image, 1, &u->side);
    if (err == BH_OK) {
        u->side->store.user = u;
        u->side->store.wake = side_ready;
    }
    return err;
}

static unsigned entries_for(unsigned depth)
{
    unsigned entries = ENTRIES_MIN;

    while (entries < depth && entries < ENTRIES_MAX)
        entries *= 2;
    return entries;
}

int bh_store_uring_create(struct bh_loop *loop, struct bh_image *image, unsigned depth,
                          struct bh_store_file **file, const char **why)
{
    int fds[2] = {image->fd, image->direct_fd};
    struct uring *u = calloc(1, sizeof(*u));
    int err;

    if (!u)
        return BH_ERR_NOMEM;
    u->loop = loop;
    u->entries = entries_for(depth);
    u->file = (struct bh_store_file){
        .store = {.ops = &uring_ops, .info = image->info},
        .image = image,
        .aio = "io_uring",
        .destroy = destroy,
    };
    int failed =
        io_uring_queue_init(u->entries, &u->ring, IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN);
    if (failed == -EINVAL) /* before Linux 5.19 */
        failed = io_uring_queue_init(u->entries, &u->ring, IORING_SETUP_R_DISABLED);
    *why = failed ? reason(failed) : missing_op(&u->ring);
    if (failed)
        goto fail;
    if (!*why && ((failed = io_uring_register_files(&u->ring, fds, 2)) != 0 ||
                  (failed = restrict_ring(&u->ring)) != 0))
        *why = reason(failed);
    if (*why)
        goto fail_ring;
    err = make_side(u);
    if (err == BH_OK)
        err = bh_loop_fd_add(loop, &u->watch, u->ring.ring_fd, BH_LOOP_READ, ready);
    if (err != BH_OK) {
        bh_store_file_destroy(u->side);
        io_uring_queue_exit(&u->ring);
        free(u);
        return err;
    }
    image->store = &u->file.store;
    *file = &u->file;
    return BH_OK;

fail_ring:
    io_uring_queue_exit(&u->ring);
fail:
    free(u);
    return BH_ERR_UNSUPPORTED;
}
