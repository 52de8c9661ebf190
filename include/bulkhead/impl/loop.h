/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: what every hosted file that waits (a store, a netport, a transport, the daemon) waits with.
 * File descriptors, timers, deferred work and signals; each is a small struct of its owner, embedded where its
 * state lives, with one callback that gets that struct back (BH_LOOP_OWNER leads from it to the owner).
 * Nothing is allocated after bh_loop_create, and nothing is global: a process may have a loop per thread.
 *
 * A loop nests in a foreign one: bh_loop_fd() is readable whenever bh_loop_step(loop, 0) has something to do,
 * timers and deferred work included. The reverse, a library with poll() sets of its own (libslirp), uses a
 * bh_loop_hook to bring its set up to date before each wait.
 *
 * Rules of callbacks: any source, the one being called too, may be changed, removed and its memory freed from
 * any callback; a removed source is never called again, even when its event was already fetched. A callback
 * must not call bh_loop_step or bh_loop_run on its own loop.
 *
 * Threading: a loop belongs to the thread that runs it; only bh_loop_stop may be called from another thread or a
 *   signal handler. Another thread wakes a loop by writing an eventfd that the loop watches.
 * Ownership: sources are the caller's and must be removed before their memory goes; the loop never closes a watched fd.
 * May block: bh_loop_run and bh_loop_step only.
 */
#ifndef BULKHEAD_IMPL_LOOP_H
#define BULKHEAD_IMPL_LOOP_H

#include <bulkhead/err.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bh_loop;
struct signalfd_siginfo;

/* From a source to the struct that embeds it: BH_LOOP_OWNER(watch, struct port_tap, tap_watch). */
#define BH_LOOP_OWNER(source, type, member) ((type *)(void *)((char *)(source)-offsetof(type, member)))

/* Returns BH_OK, BH_ERR_NOMEM or BH_ERR_IO (the process or the host has no file descriptor left). */
int bh_loop_create(struct bh_loop **loop) BH_MUST_USE;
/* Every source must have been removed. NULL is allowed. */
void bh_loop_destroy(struct bh_loop *loop);

/* Run until bh_loop_stop; returns the code given to it, or BH_ERR_IO when waiting itself fails. */
int bh_loop_run(struct bh_loop *loop);
/*
 * One round: wait up to timeout_ms (-1: without limit; 0: not at all), then call what is due. Work deferred by
 * the callbacks of a round runs in the next. Returns the number of callbacks called, or BH_ERR_IO.
 */
int bh_loop_step(struct bh_loop *loop, int timeout_ms);
/* Make bh_loop_run return `code` after the current round. Async-signal-safe. */
void bh_loop_stop(struct bh_loop *loop, int code);
/* For a foreign loop: readable when bh_loop_step(loop, 0) has something to do. Owned by the loop. */
int bh_loop_fd(struct bh_loop *loop);

/* --- file descriptors ------------------------------------------------------------------------------------ */

/* Events wanted and events found. HUP and ERR are always reported, wanted or not. Level-triggered. */
#define BH_LOOP_READ  0x1u
#define BH_LOOP_WRITE 0x2u
#define BH_LOOP_HUP   0x4u /* the other end is gone; data may still be there to read */
#define BH_LOOP_ERR   0x8u

struct bh_loop_fd {
    int fd;
    uint32_t wanted; /* BH_LOOP_READ, BH_LOOP_WRITE; 0: only HUP and ERR */
    void (*ready)(struct bh_loop_fd *watch, uint32_t events);
    struct bh_loop *loop; /* the loop's own field: NULL while not added */
};

/*
 * Watch `fd`. A regular file cannot be watched (it is always ready): BH_ERR_UNSUPPORTED. The same fd twice:
 * BH_ERR_EXIST. BH_ERR_NOMEM: the host's limit on watches.
 */
int bh_loop_fd_add(struct bh_loop *loop, struct bh_loop_fd *watch, int fd, uint32_t wanted,
                   void (*ready)(struct bh_loop_fd *watch, uint32_t events)) BH_MUST_USE;
/* Change what is waited for; cheap when nothing changes. The source must have been added. */
void bh_loop_fd_want(struct bh_loop_fd *watch, uint32_t wanted);
/* Stop watching; call it before the fd is closed. Nothing happens when it was not added. */
void bh_loop_fd_remove(struct bh_loop_fd *watch);

/* --- timers ---------------------------------------------------------------------------------------------- */

/* One-shot; set it again from its callback for a period. Zero-initialise before first use. */
struct bh_loop_timer {
    void (*expired)(struct bh_loop_timer *timer);
    uint64_t due_ns;      /* CLOCK_MONOTONIC */
    struct bh_loop *loop; /* the loop's own fields: NULL while not set */
    struct bh_loop_timer *next, **link;
};

/* (Re)set to fire at `due_ns` of bh_loop_now's clock, or `delay_ms` from now; a time that has passed fires in the next round. */
void bh_loop_timer_set_at(struct bh_loop *loop, struct bh_loop_timer *timer, uint64_t due_ns,
                          void (*expired)(struct bh_loop_timer *timer));
void bh_loop_timer_set(struct bh_loop *loop, struct bh_loop_timer *timer, uint32_t delay_ms,
                       void (*expired)(struct bh_loop_timer *timer));
void bh_loop_timer_cancel(struct bh_loop_timer *timer);
/* CLOCK_MONOTONIC in nanoseconds, read now. */
uint64_t bh_loop_now(void);

/* --- deferred work --------------------------------------------------------------------------------------- */

/* Called once, in the next round, from a clean stack; the way out of recursion. Zero-initialise before first use. */
struct bh_loop_work {
    void (*run)(struct bh_loop_work *work);
    struct bh_loop *loop; /* the loop's own fields: NULL while not queued */
    struct bh_loop_work *next, **link;
};

/* Queue it; already queued: nothing changes. */
void bh_loop_defer(struct bh_loop *loop, struct bh_loop_work *work, void (*run)(struct bh_loop_work *work));
void bh_loop_work_cancel(struct bh_loop_work *work);

/* --- signals --------------------------------------------------------------------------------------------- */

struct bh_loop_signal {
    int signo;
    void (*raised)(struct bh_loop_signal *source, const struct signalfd_siginfo *info);
    bool was_blocked; /* the loop's own fields */
    struct bh_loop *loop;
    struct bh_loop_signal *next, **link;
};

/*
 * Take the signal through a signalfd; it is blocked for the calling thread (add signals before starting threads)
 * until removed. A process's signal belongs to one loop. BH_ERR_EXIST: this loop has it already. BH_ERR_IO.
 */
int bh_loop_signal_add(struct bh_loop *loop, struct bh_loop_signal *source, int signo,
                       void (*raised)(struct bh_loop_signal *source,
                                      const struct signalfd_siginfo *info)) BH_MUST_USE;
void bh_loop_signal_remove(struct bh_loop_signal *source);

/* --- hooks ----------------------------------------------------------------------------------------------- */

/*
 * Called before each wait, to add, change and remove sources that are computed rather than known (libslirp's
 * poll set; a batch that is submitted once per round). It may set timers and defer work.
 */
struct bh_loop_hook {
    void (*prepare)(struct bh_loop_hook *hook);
    struct bh_loop *loop; /* the loop's own fields */
    struct bh_loop_hook *next, **link;
};
void bh_loop_hook_add(struct bh_loop *loop, struct bh_loop_hook *hook,
                      void (*prepare)(struct bh_loop_hook *hook));
void bh_loop_hook_remove(struct bh_loop_hook *hook);

#endif
