/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SIGBUS handler and its table. Everything that the handler calls is a plain system call.
 */
#include "transports/vhost_user/guard.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

struct guard {
    _Atomic uintptr_t base; /* 0: free. Stored last (release), read first (acquire): the rest is then valid */
    size_t length;
    volatile sig_atomic_t *lost;
    int wake_fd;
};

static struct guard guards[BH_VU_GUARDS_MAX];
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER; /* of those who add; the handler takes none */
static struct sigaction before;

static void on_sigbus(int signo, siginfo_t *info, void *context)
{
    const uintptr_t at = (uintptr_t)info->si_addr;
    const int saved = errno;
    for (unsigned i = 0; i < BH_VU_GUARDS_MAX; i++) {
        struct guard *guard = &guards[i];
        const uintptr_t base = atomic_load_explicit(&guard->base, memory_order_acquire);
        const uint64_t one = 1;
        if (!base || at - base >= guard->length)
            continue;
        if (mmap((void *)base, guard->length, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
            break;
        *guard->lost = 1;
        if (write(guard->wake_fd, &one, sizeof(one)) < 0)
            break; /* an eventfd of ours that is not full: cannot happen */
        errno = saved;
        return;
    }
    /* Not ours: whoever was there before gets it, at the latest when the access is tried again. */
    if (before.sa_flags & SA_SIGINFO && before.sa_sigaction)
        before.sa_sigaction(signo, info, context);
    else
        sigaction(SIGBUS, &before, NULL);
    errno = saved;
}

/* Asked for with each guard, since the host program may have set a handler of its own meanwhile. */
int bh_vu_guard_install(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER}, now;
    if (sigaction(SIGBUS, NULL, &now))
        return BH_ERR_IO;
    if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_sigbus)
        return BH_OK;
    before = now;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, NULL) ? BH_ERR_IO : BH_OK;
}

int bh_vu_guard_add(void *base, size_t length, volatile sig_atomic_t *lost, int wake_fd, unsigned *index)
{
    int err;
    pthread_mutex_lock(&guards_lock);
    err = bh_vu_guard_install();
    for (unsigned i = 0; !err; i++) {
        struct guard *guard = &guards[i];
        if (i == BH_VU_GUARDS_MAX) {
            err = BH_ERR_NOMEM;
            break;
        }
        if (atomic_load_explicit(&guard->base, memory_order_relaxed))
            continue;
        guard->length = length;
        guard->lost = lost;
        guard->wake_fd = wake_fd;
        atomic_store_explicit(&guard->base, (uintptr_t)base, memory_order_release);
        *index = i;
        break;
    }
    pthread_mutex_unlock(&guards_lock);
    return err;
}

void bh_vu_guard_remove(unsigned index)
{
    pthread_mutex_lock(&guards_lock);
    atomic_store_explicit(&guards[index].base, 0, memory_order_release);
    pthread_mutex_unlock(&guards_lock);
}
