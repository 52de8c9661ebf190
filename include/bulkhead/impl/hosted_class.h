/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A class as a program serves it: from the values of its option table to a device that runs, with its store,
 * netport or terminal behind it. One const struct bh_hosted_class a class (devices/CLASS/CLASS_host.c); the
 * device programs, the VMM and the generators of help, man pages and schema see a class through nothing else.
 *
 * A program's road: bh_options_init and _parse on `options` into a zeroed block of `values_size` bytes;
 * create; bh_device_attach by the transport; the loop runs; bh_device_reset until it is done;
 * bh_device_detach; destroy.
 *
 * Threading: create and destroy on the loop's thread.
 * Ownership: what create made is owned by the instance; `values`, `loop` and `mem` are the caller's and
 * outlive it. May block: create may (it opens files); destroy may wait for the host's own I/O to end.
 */
#ifndef BULKHEAD_IMPL_HOSTED_CLASS_H
#define BULKHEAD_IMPL_HOSTED_CLASS_H

#include <bulkhead/device.h>
#include <bulkhead/impl/diag.h>
#include <bulkhead/impl/loop.h>
#include <bulkhead/impl/option.h>
#include <bulkhead/impl/sandbox.h>

/* What a class's create made. A class embeds it in its own struct. */
struct bh_hosted {
    const struct bh_hosted_class *class;
    struct bh_device *dev; /* quiet, without a transport */
};

/*
 * Something that a running device can be told, over the control socket of its process (docs/control.md): there is no
 * other way in. A table of a class ends with an entry whose name is NULL; its verb is the socket's "op".
 */
struct bh_class_verb {
    const char *name;                  /* "resize"; none of the socket's own: info, status, counters */
    const char *summary;               /* one line for help, no full stop */
    const struct bh_option *arguments; /* a table like a class's options; NULL: it takes none */
    size_t values_size;                /* of the struct that `arguments` fill */
    /*
     * On the loop's thread; it must not wait. `values` are the caller's again afterwards. On failure what is wrong
     * was said on `sink`: the first error is the answer's.
     */
    int (*run)(struct bh_hosted *hosted, const void *values, struct bh_diag_sink *sink);
};

/* Something that a class counts: a uint64_t in the struct that embeds its bh_device. Ends as verbs do. */
struct bh_class_counter {
    const char *name; /* lower-case words joined by '_' */
    size_t offset;    /* BH_CLASS_COUNTER() */
    const char *help; /* one line, no full stop */
};
#define BH_CLASS_COUNTER(type, member) (offsetof(type, member) - offsetof(type, dev))

struct bh_hosted_class {
    const char *name;                /* "blk": of bulkhead-blk, of `bulkhead device blk` */
    const char *summary;             /* one line for help, no full stop */
    uint16_t virtio_id;              /* [virtio-1.4 5] */
    const struct bh_option *options; /* see impl/option.h */
    size_t values_size;              /* of the struct that `options` fill */
    /* "features" of --print-capabilities, NULL-terminated [vhost-user, "Backend program conventions"]. */
    const char *const *capabilities;
    const struct bh_class_verb *verbs;       /* NULL: none */
    const struct bh_class_counter *counters; /* NULL: none */

    /*
     * Make an instance. On failure *hosted is untouched, and what is wrong was said on `sink` in the user's
     * words (the option, the file, what to do). BH_ERR_INVAL, _RANGE: options that contradict one another;
     * _NOENT, _ACCESS, _IO, _BUSY: what they name; _NOMEM; _UNSUPPORTED: not on this host.
     */
    int (*create)(struct bh_loop *loop, struct bh_mem *mem, const void *values, struct bh_diag_sink *sink,
                  struct bh_hosted **hosted);
    /*
     * Name what is opened after create: files, folders, the host's network. NULL: nothing is. Paths that are added
     * are the caller's again only after bh_sandbox_enter.
     */
    void (*sandbox)(const void *values, struct bh_sandbox *sandbox);
    /* The device is quiet (reset or never started) and detached. */
    void (*destroy)(struct bh_hosted *hosted);
};

#endif
