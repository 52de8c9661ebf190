/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes by handle: started with exactly the fds that they are given, watched and signalled through a
 * pidfd, so that a pid which the kernel has given to somebody else is never touched. What a child was given at start
 * dies with its parent (PR_SET_PDEATHSIG), also across exec.
 *
 * Threading: start and watch on the loop's thread, which must live as long as the children (the kernel ties
 *   PDEATHSIG to the thread that forked).
 * Ownership: struct bh_process is the caller's; the fds that are passed stay the caller's.   May block: start, until the child has exec'd.
 */
#ifndef BULKHEAD_IMPL_PROCESS_H
#define BULKHEAD_IMPL_PROCESS_H

#include <bulkhead/err.h>
#include <bulkhead/impl/loop.h>
#include <stdbool.h>
#include <sys/types.h>

enum { BH_PROCESS_FIRST_FD = 3, BH_PROCESS_FDS_MAX = 1000 };

struct bh_process_spec {
    const char *const *argv;        /* NULL-terminated; argv[0] is looked for in PATH when it has no '/' */
    const char *const *environment; /* "NAME=value" to set, NULL-terminated; may be NULL */
    int in, out, err;               /* -1: /dev/null */
    const int *fds;                 /* become 3, 4, ... in the child; everything else is closed there */
    size_t fd_count;
    bool
        listens; /* LISTEN_PID is set to the child's pid: `environment` announces fds by sd_listen_fds' protocol */
    /*
     * A stranger's program, which cannot be told to enter a sandbox: no core files and message queues, and where the
     * host lets us IPC, host name and cgroup namespaces of its own; it is denied set-user-ID programs unless it keeps
     * its privileges, and the host's network unless it keeps that. What the host refuses is said on `err`.
     */
    bool confined, keeps_network, keeps_privileges;
};

struct bh_process {
    pid_t pid; /* in our pid namespace; 0: not running */
    int pidfd;
    /* The process is gone and reaped; its handles are released before the call. */
    void (*exited)(struct bh_process *process, const siginfo_t *info);
    struct bh_loop_fd watch;
};

/*
 * Start it and have `exited` called from the loop when it is gone. BH_ERR_NOENT, BH_ERR_ACCESS: the program cannot
 * be executed; BH_ERR_NOMEM, BH_ERR_IO: the host has no process or fd left; BH_ERR_RANGE: too many fds.
 */
int bh_process_start(struct bh_process *process, const struct bh_process_spec *spec, struct bh_loop *loop,
                     void (*exited)(struct bh_process *process, const siginfo_t *info)) BH_MUST_USE;
/* Nothing happens when it is gone already. */
void bh_process_signal(struct bh_process *process, int signo);
/* Kill it, if it runs, and wait until it is gone; `exited` is not called. */
void bh_process_end(struct bh_process *process);

/*
 * The pid by which the machine's /proc knows the process: where we live in a pid namespace of our own, another one
 * than `pid`. 0: not running.
 */
pid_t bh_process_outer_pid(const struct bh_process *process);
/* The same for ourselves. */
pid_t bh_own_outer_pid(void);

/* How it ended, in words: "exit code 3", "killed by signal 9 (Killed)". */
void bh_exit_text(const siginfo_t *info, char *text, size_t size);

#endif
