/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image's bytes by a pool of threads, where io_uring is forbidden (containers, Android) or missing.
 *
 * Theory of operation
 *   One lock guards two lists: what waits for a thread, and what is done. A thread takes a request, goes
 * through all its steps with ordinary system calls, and puts it among the done ones; the first to come there
 * writes the eventfd that the loop watches. Whoever polls takes from the done list; the eventfd is read only
 * by the loop's callback, which then polls until nothing is left, so no completion is missed.
 *
 *   Threads start with the first request: by then the process has entered its sandbox, whose namespaces a thread that
 * was there before would stay out of. One thread comes and goes at creation, which shows that there can be any, and
 * has the C library set its signal handlers, which the sandbox does not allow.
 *
 * #syscalls clone set_robust_list rseq mprotect
 */
#include "devices/blk/store_file.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS_MAX 8u
#define STACK_BYTES ((size_t)128 * 1024)

struct pool {
    struct bh_store_file file;
    int event_fd;
    struct bh_loop_fd watch;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct bh_store_list queued; /* the lock's, as what follows */
    struct bh_store_list done;
    bool ending;
    unsigned threads_wanted, thread_count;
    pthread_t threads[THREADS_MAX];
};

static struct pool *pool_of(struct bh_store *store)
{
    return BH_CONTAINER(BH_CONTAINER(store, struct bh_store_file, store), struct pool, file);
}

static void execute(struct bh_image *image, struct bh_store_req *req)
{
    struct bh_image_step step;

    while (bh_image_next(image, req, &step) && !bh_image_result(image, req, bh_image_call(image, &step)))
        ;
}

/* The lock is held. */
static void add_done(struct pool *pool, struct bh_store_req *req)
{
    bool first = !pool->done.head;

    bh_store_list_add(&pool->done, req);
    if (first)
        (void)eventfd_write(pool->event_fd, 1); /* fails only when it is readable already */
}

static void *work(void *data)
{
    struct pool *pool = data;

    pthread_mutex_lock(&pool->lock);
    while (!pool->ending) {
        struct bh_store_req *req = bh_store_list_take(&pool->queued);
        if (!req) {
            pthread_cond_wait(&pool->work, &pool->lock);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        execute(pool->file.image, req);
        pthread_mutex_lock(&pool->lock);
        add_done(pool, req);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* The process's signals are the loop's: no thread of the pool takes one. */
static bool start_threads(struct pool *pool)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int failed = 0;

    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (!failed && pool->thread_count < pool->threads_wanted) {
        failed = pthread_create(&pool->threads[pool->thread_count], &attr, work, pool);
        pool->thread_count += !failed;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return pool->thread_count > 0;
}

static void submit(struct bh_store *store, struct bh_store_req *first)
{
    struct pool *pool = pool_of(store);
    const bool can = pool->thread_count || start_threads(pool);
    unsigned count = 0;

    pthread_mutex_lock(&pool->lock);
    while (first) {
        struct bh_store_req *next = first->next;
        bh_image_start(first);
        if (can) {
            bh_store_list_add(&pool->queued, first);
        } else {
            bh_image_result(pool->file.image, first, -ENOMEM);
            add_done(pool, first);
        }
        first = next;
        count++;
    }
    pthread_mutex_unlock(&pool->lock);
    for (; count > 0; count--)
        pthread_cond_signal(&pool->work);
}

static unsigned poll(struct bh_store *store, struct bh_store_req **done, unsigned max)
{
    struct pool *pool = pool_of(store);
    unsigned count = 0;

    pthread_mutex_lock(&pool->lock);
    while (count < max && pool->done.head)
        done[count++] = bh_store_list_take(&pool->done);
    pthread_mutex_unlock(&pool->lock);
    return count;
}

/* What a thread works on comes back when it is done. */
static void cancel(struct bh_store *store)
{
    struct pool *pool = pool_of(store);

    pthread_mutex_lock(&pool->lock);
    for (struct bh_store_req *req = bh_store_list_take(&pool->queued); req;
         req = bh_store_list_take(&pool->queued)) {
        bh_image_result(pool->file.image, req, -ECANCELED);
        add_done(pool, req);
    }
    pthread_mutex_unlock(&pool->lock);
}

static int acquire(struct bh_store *store)
{
    return bh_image_acquire(pool_of(store)->file.image);
}

static void release(struct bh_store *store)
{
    bh_image_release(pool_of(store)->file.image);
}

static const struct bh_store_ops pool_ops = {
    .submit = submit,
    .poll = poll,
    .cancel = cancel,
    .acquire = acquire,
    .release = release,
};

static void ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct pool *pool = BH_LOOP_OWNER(watch, struct pool, watch);
    eventfd_t value;

    (void)eventfd_read(pool->event_fd, &value);
    pool->file.store.wake(&pool->file.store);
}

static void destroy(struct bh_store_file *file)
{
    struct pool *pool = BH_CONTAINER(file, struct pool, file);

    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    bh_loop_fd_remove(&pool->watch);
    if (pool->event_fd >= 0)
        close(pool->event_fd);
    free(pool);
}

static void *nothing(void *data)
{
    return data;
}

static int try_thread(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL) ? BH_ERR_NOMEM : BH_OK;
}

int bh_store_threads_create(struct bh_loop *loop, struct bh_image *image, unsigned depth,
                            struct bh_store_file **file)
{
    struct pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return BH_ERR_NOMEM;
    pool->file = (struct bh_store_file){
        .store = {.ops = &pool_ops, .info = image->info},
        .image = image,
        .aio = "threads",
        .destroy = destroy,
    };
    pool->threads_wanted = depth < THREADS_MAX ? depth : THREADS_MAX;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int err = pool->event_fd < 0 ? BH_ERR_IO
                                 : bh_loop_fd_add(loop, &pool->watch, pool->event_fd, BH_LOOP_READ, ready);
    if (err == BH_OK)
        err = try_thread();
    if (err != BH_OK) {
        destroy(&pool->file);
        return err;
    }
    image->store = &pool->file.store;
    *file = &pool->file;
    return BH_OK;
}
