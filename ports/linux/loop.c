/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop on Linux: epoll, one timerfd for the nearest timer, one eventfd for "look again", one signalfd.
 *
 * #syscalls epoll_wait epoll_pwait epoll_ctl timerfd_settime signalfd4 read
 */
#include <bulkhead/impl/loop.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/*
 * Theory of operation
 *
 * A round (bh_loop_step) is: hooks, wait, file descriptors, timers that are due, deferred work. What a round
 * will call is fixed when its phase begins: a timer set to a time that has passed, or work deferred, by a
 * callback waits for the next round, so a round always ends.
 *
 * Removal from callbacks. Timers, work, signals and hooks hang in intrusive lists whose nodes know the pointer
 * that points at them, so that unlinking works in whatever list they are, the list being run included. File
 * descriptor events are fetched in an array; removing a watch wipes its event out of the part not yet called.
 *
 * Nesting. All that can make a round worth running shows on the epoll fd: the timerfd is armed for the nearest
 * timer, and the eventfd is set while work waits outside of a round. Inside bh_loop_run the eventfd is not
 * needed: a waiting work item makes the next wait return at once.
 */

enum { BATCH_MAX = 64, SIGNAL_BATCH_MAX = 8 };

struct bh_loop {
    int epoll_fd;
    struct bh_loop_fd timer_watch, wake_watch, signal_watch;
    struct epoll_event batch[BATCH_MAX];
    int batch_count, batch_next;

    struct bh_loop_timer *timers, *due_timers; /* sorted by due_ns; the ones this round calls */
    uint64_t armed_ns;                         /* what timer_watch.fd is set to; 0: disarmed */
    struct bh_loop_work *work, **work_tail, *due_work;
    struct bh_loop_signal *signals;
    sigset_t signal_set;
    struct bh_loop_hook *hooks, *next_hook;

    bool in_step;
    int called; /* callbacks in this round */
    atomic_bool stopping;
    atomic_int stop_code;
};

uint64_t bh_loop_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Any of the intrusive lists: push `node` at `head`, unlink it wherever it is. */
#define LIST_PUSH(head, node)                                                                                \
    do {                                                                                                     \
        (node)->next = *(head);                                                                              \
        (node)->link = (head);                                                                               \
        if ((node)->next)                                                                                    \
            (node)->next->link = &(node)->next;                                                              \
        *(head) = (node);                                                                                    \
    } while (0)

#define LIST_UNLINK(node)                                                                                    \
    do {                                                                                                     \
        *(node)->link = (node)->next;                                                                        \
        if ((node)->next)                                                                                    \
            (node)->next->link = (node)->link;                                                               \
        (node)->next = NULL;                                                                                 \
        (node)->link = NULL;                                                                                 \
    } while (0)

static void drain_counter(struct bh_loop_fd *watch, uint32_t events)
{
    uint64_t count;
    ssize_t got = read(watch->fd, &count, sizeof(count)); /* EAGAIN: another round was quicker */
    (void)got;
    watch->loop->called--; /* the loop's own business */
}

static void wake(struct bh_loop *loop)
{
    const uint64_t one = 1;
    ssize_t put = write(loop->wake_watch.fd, &one, sizeof(one)); /* EAGAIN: it is set already */
    (void)put;
}

int bh_loop_create(struct bh_loop **out)
{
    struct bh_loop *loop = calloc(1, sizeof(*loop));
    int timer = -1, event = -1;
    if (!loop)
        return BH_ERR_NOMEM;
    loop->work_tail = &loop->work;
    loop->signal_watch.fd = -1;
    sigemptyset(&loop->signal_set);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        goto free_loop;
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (timer < 0 || event < 0)
        goto close_fds;
    if (bh_loop_fd_add(loop, &loop->timer_watch, timer, BH_LOOP_READ, drain_counter) ||
        bh_loop_fd_add(loop, &loop->wake_watch, event, BH_LOOP_READ, drain_counter))
        goto close_fds;
    *out = loop;
    return BH_OK;

close_fds:
    if (timer >= 0)
        close(timer);
    if (event >= 0)
        close(event);
    close(loop->epoll_fd);
free_loop:
    free(loop);
    return BH_ERR_IO;
}

void bh_loop_destroy(struct bh_loop *loop)
{
    if (!loop)
        return;
    while (loop->signals)
        bh_loop_signal_remove(loop->signals);
    close(loop->timer_watch.fd);
    close(loop->wake_watch.fd);
    close(loop->epoll_fd);
    free(loop);
}

int bh_loop_fd(struct bh_loop *loop)
{
    return loop->epoll_fd;
}

/* --- file descriptors ------------------------------------------------------------------------------------ */

static uint32_t epoll_bits(uint32_t wanted)
{
    return (wanted & BH_LOOP_READ ? (uint32_t)EPOLLIN : 0) |
           (wanted & BH_LOOP_WRITE ? (uint32_t)EPOLLOUT : 0);
}

int bh_loop_fd_add(struct bh_loop *loop, struct bh_loop_fd *watch, int fd, uint32_t wanted,
                   void (*ready)(struct bh_loop_fd *watch, uint32_t events))
{
    struct epoll_event event = {.events = epoll_bits(wanted), .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
        switch (errno) {
        case EEXIST: return BH_ERR_EXIST;
        case EPERM: return BH_ERR_UNSUPPORTED;
        case ENOMEM:
        case ENOSPC: return BH_ERR_NOMEM;
        default: return BH_ERR_INVAL;
        }
    }
    watch->fd = fd;
    watch->wanted = wanted;
    watch->ready = ready;
    watch->loop = loop;
    return BH_OK;
}

void bh_loop_fd_want(struct bh_loop_fd *watch, uint32_t wanted)
{
    struct epoll_event event = {.events = epoll_bits(wanted), .data.ptr = watch};
    if (wanted == watch->wanted)
        return;
    epoll_ctl(watch->loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
    watch->wanted = wanted;
}

void bh_loop_fd_remove(struct bh_loop_fd *watch)
{
    struct bh_loop *loop = watch->loop;
    if (!loop)
        return;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    for (int i = loop->batch_next; i < loop->batch_count; i++)
        if (loop->batch[i].data.ptr == watch)
            loop->batch[i].data.ptr = NULL;
    watch->loop = NULL;
}

static void run_fds(struct bh_loop *loop)
{
    while (loop->batch_next < loop->batch_count) {
        const struct epoll_event event = loop->batch[loop->batch_next++];
        struct bh_loop_fd *watch = event.data.ptr;
        uint32_t found = 0;
        if (!watch)
            continue;
        found |= event.events & EPOLLIN ? BH_LOOP_READ : 0;
        found |= event.events & EPOLLOUT ? BH_LOOP_WRITE : 0;
        found |= event.events & EPOLLHUP ? BH_LOOP_HUP : 0;
        found |= event.events & EPOLLERR ? BH_LOOP_ERR : 0;
        /* An earlier callback of this batch may have changed what is wanted. */
        found &= watch->wanted | BH_LOOP_HUP | BH_LOOP_ERR;
        if (!found)
            continue;
        loop->called++;
        watch->ready(watch, found);
    }
    loop->batch_count = loop->batch_next = 0;
}

/* --- timers ---------------------------------------------------------------------------------------------- */

static void arm_timerfd(struct bh_loop *loop)
{
    const uint64_t due = loop->timers ? loop->timers->due_ns : 0;
    struct itimerspec spec;
    if (due == loop->armed_ns)
        return;
    spec = (struct itimerspec){
        .it_value = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)}};
    timerfd_settime(loop->timer_watch.fd, TFD_TIMER_ABSTIME, &spec, NULL);
    loop->armed_ns = due;
}

/* A sorted list: a process has tens of timers, most of them idle, and the nearest is what is asked for. */
void bh_loop_timer_set_at(struct bh_loop *loop, struct bh_loop_timer *timer, uint64_t due_ns,
                          void (*expired)(struct bh_loop_timer *timer))
{
    struct bh_loop_timer **at = &loop->timers;
    bh_loop_timer_cancel(timer);
    timer->due_ns = due_ns ? due_ns : 1;
    timer->expired = expired;
    timer->loop = loop;
    while (*at && (*at)->due_ns <= timer->due_ns)
        at = &(*at)->next;
    LIST_PUSH(at, timer);
    /* Outside of a round nobody else arms before a foreign loop waits. */
    if (!loop->in_step)
        arm_timerfd(loop);
}

void bh_loop_timer_set(struct bh_loop *loop, struct bh_loop_timer *timer, uint32_t delay_ms,
                       void (*expired)(struct bh_loop_timer *timer))
{
    bh_loop_timer_set_at(loop, timer, bh_loop_now() + (uint64_t)delay_ms * 1000000u, expired);
}

void bh_loop_timer_cancel(struct bh_loop_timer *timer)
{
    if (!timer->loop)
        return;
    LIST_UNLINK(timer);
    timer->loop = NULL;
}

static void run_timers(struct bh_loop *loop)
{
    struct bh_loop_timer **end = &loop->timers;
    uint64_t now;
    if (!loop->timers)
        return;
    now = bh_loop_now();
    while (*end && (*end)->due_ns <= now)
        end = &(*end)->next;
    if (end == &loop->timers)
        return;
    /* Move the head of the list, up to *end, to due_timers. */
    loop->due_timers = loop->timers;
    loop->due_timers->link = &loop->due_timers;
    loop->timers = *end;
    if (loop->timers)
        loop->timers->link = &loop->timers;
    *end = NULL;
    loop->armed_ns = 0; /* it fired: arm again, whatever comes */
    while (loop->due_timers) {
        struct bh_loop_timer *timer = loop->due_timers;
        bh_loop_timer_cancel(timer);
        loop->called++;
        timer->expired(timer);
    }
}

/* --- deferred work --------------------------------------------------------------------------------------- */

void bh_loop_defer(struct bh_loop *loop, struct bh_loop_work *work, void (*run)(struct bh_loop_work *work))
{
    if (work->loop)
        return;
    work->run = run;
    work->loop = loop;
    work->next = NULL;
    work->link = loop->work_tail;
    *loop->work_tail = work;
    loop->work_tail = &work->next;
    if (!loop->in_step && loop->work == work)
        wake(loop);
}

void bh_loop_work_cancel(struct bh_loop_work *work)
{
    if (!work->loop)
        return;
    if (work->loop->work_tail == &work->next)
        work->loop->work_tail = work->link;
    LIST_UNLINK(work);
    work->loop = NULL;
}

static void run_work(struct bh_loop *loop)
{
    if (!loop->work)
        return;
    loop->due_work = loop->work;
    loop->due_work->link = &loop->due_work;
    loop->work = NULL;
    loop->work_tail = &loop->work;
    while (loop->due_work) {
        struct bh_loop_work *work = loop->due_work;
        bh_loop_work_cancel(work);
        loop->called++;
        work->run(work);
    }
}

/* --- signals --------------------------------------------------------------------------------------------- */

static void read_signals(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_loop *loop = watch->loop;
    struct signalfd_siginfo infos[SIGNAL_BATCH_MAX];
    ssize_t got = read(watch->fd, infos, sizeof(infos));
    loop->called--;
    for (ssize_t i = 0; i < got / (ssize_t)sizeof(infos[0]); i++) {
        struct bh_loop_signal *source = loop->signals;
        while (source && source->signo != (int)infos[i].ssi_signo)
            source = source->next;
        if (!source) /* removed by an earlier callback of this batch */
            continue;
        loop->called++;
        source->raised(source, &infos[i]);
    }
}

int bh_loop_signal_add(struct bh_loop *loop, struct bh_loop_signal *source, int signo,
                       void (*raised)(struct bh_loop_signal *source, const struct signalfd_siginfo *info))
{
    sigset_t one, before;
    int fd;
    if (sigismember(&loop->signal_set, signo))
        return BH_ERR_EXIST;
    sigemptyset(&one);
    if (sigaddset(&one, signo))
        return BH_ERR_INVAL;
    sigaddset(&loop->signal_set, signo);
    fd = signalfd(loop->signal_watch.fd, &loop->signal_set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        goto fail;
    if (!loop->signal_watch.loop) {
        int err = bh_loop_fd_add(loop, &loop->signal_watch, fd, BH_LOOP_READ, read_signals);
        if (err) {
            close(fd);
            goto fail;
        }
    }
    pthread_sigmask(SIG_BLOCK, &one, &before);
    source->was_blocked = sigismember(&before, signo) == 1;
    source->signo = signo;
    source->raised = raised;
    source->loop = loop;
    LIST_PUSH(&loop->signals, source);
    return BH_OK;

fail:
    sigdelset(&loop->signal_set, signo);
    return BH_ERR_IO;
}

void bh_loop_signal_remove(struct bh_loop_signal *source)
{
    struct bh_loop *loop = source->loop;
    sigset_t one;
    if (!loop)
        return;
    sigdelset(&loop->signal_set, source->signo);
    signalfd(loop->signal_watch.fd, &loop->signal_set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (!source->was_blocked) {
        sigemptyset(&one);
        sigaddset(&one, source->signo);
        pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    }
    LIST_UNLINK(source);
    source->loop = NULL;
    if (!loop->signals) {
        int fd = loop->signal_watch.fd;
        bh_loop_fd_remove(&loop->signal_watch);
        close(fd);
        loop->signal_watch.fd = -1;
    }
}

/* --- hooks and rounds ------------------------------------------------------------------------------------ */

void bh_loop_hook_add(struct bh_loop *loop, struct bh_loop_hook *hook,
                      void (*prepare)(struct bh_loop_hook *hook))
{
    hook->prepare = prepare;
    hook->loop = loop;
    LIST_PUSH(&loop->hooks, hook);
}

void bh_loop_hook_remove(struct bh_loop_hook *hook)
{
    if (!hook->loop)
        return;
    if (hook->loop->next_hook == hook)
        hook->loop->next_hook = hook->next;
    LIST_UNLINK(hook);
    hook->loop = NULL;
}

static void run_hooks(struct bh_loop *loop)
{
    for (struct bh_loop_hook *hook = loop->hooks; hook; hook = loop->next_hook) {
        loop->next_hook = hook->next;
        hook->prepare(hook);
    }
    loop->next_hook = NULL;
}

int bh_loop_step(struct bh_loop *loop, int timeout_ms)
{
    int count;
    loop->in_step = true;
    loop->called = 0;
    run_hooks(loop);
    arm_timerfd(loop);
    if (loop->work || atomic_load_explicit(&loop->stopping, memory_order_relaxed))
        timeout_ms = 0;
    count = epoll_wait(loop->epoll_fd, loop->batch, BATCH_MAX, timeout_ms);
    if (count < 0 && errno != EINTR) {
        loop->in_step = false;
        return BH_ERR_IO;
    }
    loop->batch_count = count < 0 ? 0 : count;
    run_fds(loop);
    run_timers(loop);
    run_work(loop);
    arm_timerfd(loop);
    loop->in_step = false;
    if (loop->work)
        wake(loop);
    return loop->called;
}

int bh_loop_run(struct bh_loop *loop)
{
    /* Acquire pairs with bh_loop_stop's release: what its caller wrote before is seen here. */
    while (!atomic_load_explicit(&loop->stopping, memory_order_acquire)) {
        int err = bh_loop_step(loop, -1);
        if (err < 0)
            return err;
    }
    atomic_store_explicit(&loop->stopping, false, memory_order_relaxed);
    return atomic_load_explicit(&loop->stop_code, memory_order_relaxed);
}

void bh_loop_stop(struct bh_loop *loop, int code)
{
    const int saved = errno;
    atomic_store_explicit(&loop->stop_code, code, memory_order_relaxed);
    atomic_store_explicit(&loop->stopping, true, memory_order_release);
    wake(loop);
    errno = saved;
}
