/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process gives up before it meets hostile bytes: its sight of the host's files, its place in the host's
 * namespaces, its capabilities, and every system call that it has no use for (docs/sandbox.md).
 *
 * Theory of operation
 *   A process opens what it needs, then enters; there is no way back. Afterwards the file system is an empty,
 * read-only one in which only `paths` can be seen, where they were. Which calls are let through is a list of names
 * that the build gathers from "#syscalls" tags in the sources that a program is made of (tools/syscalls), so that a
 * call's use and its permission stand in one place. A call outside of the list ends the process, after a line that
 * names it.
 *   The host may refuse a piece (namespaces in a container): that is said once, and the rest is kept, or nobody is
 * served (`required`).
 *
 * Threading: enter before any thread is started: threads made later inherit it.
 * Ownership: everything is the caller's and only read.   May block: no.
 */
#ifndef BULKHEAD_IMPL_SANDBOX_H
#define BULKHEAD_IMPL_SANDBOX_H

#include <bulkhead/err.h>
#include <bulkhead/impl/diag.h>
#include <stdbool.h>

enum { BH_SANDBOX_PATHS_MAX = 272 }; /* the peers of a vsock that has most, and a little */

/* A file or folder that can be opened afterwards. One that is not there is left out. */
struct bh_sandbox_sight {
    const char *path;
    bool writable;
    bool folder;   /* not it, but the folder that it is in */
    char name[24]; /* not it, but what has this name in it; "": it */
};

struct bh_sandbox {
    const char *const *syscalls; /* names, NULL-terminated */
    struct bh_sandbox_sight paths[BH_SANDBOX_PATHS_MAX];
    unsigned path_count;
    bool network;  /* keep the host's network: sockets other than AF_UNIX may be made */
    bool required; /* what the host refuses is an error */
};

/* One more path that can be opened; NULL adds nothing. */
void bh_sandbox_path(struct bh_sandbox *sandbox, const char *path, bool writable);
/* Of a folder, one folder in it alone, writable; `name` is shorter than 24 bytes and copied. */
void bh_sandbox_below(struct bh_sandbox *sandbox, const char *path, const char *name);
/* The folder that `path` is in, where it is made, renamed or removed later; NULL adds nothing. */
void bh_sandbox_folder(struct bh_sandbox *sandbox, const char *path);

/*
 * Give everything up. What the host refuses is said on `sink` as one warning; where all is required it is an error.
 * BH_ERR_UNSUPPORTED: that; BH_ERR_IO: something else. Either way the process is in a state between the two and must
 * end, and it was said.
 */
int bh_sandbox_enter(const struct bh_sandbox *sandbox, struct bh_diag_sink *sink) BH_MUST_USE;

#endif
