/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image: the file or block device that holds a disk. Opening it, its size and what it can do, the lock that
 * keeps two writers apart, and, for the stores that move its bytes, the steps that a request takes on it.
 *
 * Threading: open, close, acquire, release on the loop's thread; the steps of one request on one thread at a
 * time. Ownership: an image is embedded by its store's owner; the path is copied.   May block: open, close.
 */
#ifndef DEVICES_BLK_IMAGE_H
#define DEVICES_BLK_IMAGE_H

#include "devices/blk/host_disk.h"
#include <bulkhead/impl/diag.h>
#include <bulkhead/impl/loop.h>
#include <stdatomic.h>

/* As QEMU's users know them (docs/class-blk.md). */
enum bh_image_cache {
    BH_IMAGE_WRITEBACK,    /* host's page cache; durable after a flush */
    BH_IMAGE_NONE,         /* O_DIRECT; durable after a flush */
    BH_IMAGE_WRITETHROUGH, /* host's page cache; durable when done */
    BH_IMAGE_DIRECTSYNC,   /* O_DIRECT; durable when done */
    BH_IMAGE_UNSAFE,       /* as writeback, but a flush does nothing */
};

struct bh_image {
    char *path;
    int fd;        /* through the page cache */
    int direct_fd; /* with O_DIRECT, or -1 */
    enum bh_image_cache cache;
    uint32_t direct_align;     /* of offset, length and memory */
    bool read_only;            /* opened so */
    bool is_block;             /* a block device */
    atomic_bool no_zero_range; /* the file system has only holes: learnt at the first try */
    uint32_t physical_block;   /* bytes; a hint */
    struct bh_host_disk disk;  /* of a block device */
    struct bh_store_info info;
    struct bh_diag_sink *sink;
    /* The lock. */
    struct bh_loop *loop;
    struct bh_store *store; /* woken when it is worth trying again */
    struct bh_loop_timer retry;
    unsigned retry_ms; /* the wait that is on; 0: none */
    bool locked;       /* by us */
    bool complained;   /* said once who holds it; a ring waits for it */
};

/*
 * Open `path`. Messages go to `sink`. BH_ERR_NOENT, _ACCESS, _IO; _INVAL: neither file nor block device, or
 * too small; _UNSUPPORTED: direct I/O asked for where there is none.
 */
int bh_image_open(struct bh_image *image, struct bh_loop *loop, const char *path, enum bh_image_cache cache,
                  bool read_only, struct bh_diag_sink *sink) BH_MUST_USE;
void bh_image_close(struct bh_image *image);
/*
 * Make a file `size` bytes long (a multiple of 512), or, with 0, take it as the host has it now: a block device, or a
 * file that somebody else has grown. info.capacity is what it is afterwards. What is wrong is said on `sink`.
 * BH_ERR_BUSY: somebody else uses it; _ACCESS: read-only; _INVAL: of a block device, or too small; _NOSPC, _IO.
 */
int bh_image_resize(struct bh_image *image, uint64_t size, struct bh_diag_sink *sink) BH_MUST_USE;

/* --- image_lock.c
 * --------------------------------------------------------------------------------------------- */

/*
 * The lock: exclusive for a writer, shared for readers; an OFD lock on the whole file, so that it conflicts
 * with QEMU's own locks too and dies with the process. BH_ERR_BUSY: held by somebody else; said once on the
 * sink, with the holder's name where /proc tells, and image->store is woken twice a second until it is got or
 * released.
 */
int bh_image_acquire(struct bh_image *image) BH_MUST_USE;
void bh_image_release(struct bh_image *image);
/*
 * The lock for a moment, within one call: true, or somebody else has it. Nothing is said or tried again.
 * bh_image_let_go ends it.
 */
bool bh_image_hold(struct bh_image *image) BH_MUST_USE;
void bh_image_let_go(struct bh_image *image);

/* --- image_steps.c
 * -------------------------------------------------------------------------------------------- */

enum bh_image_call {
    BH_CALL_READV,
    BH_CALL_WRITEV,
    BH_CALL_FDATASYNC,
    BH_CALL_FALLOCATE,
    /* These have no asynchronous form: bh_image_wants_thread. */
    BH_CALL_DISCARD,  /* ioctl, of a block device */
    BH_CALL_ERASE,    /* likewise */
    BH_CALL_LIFETIME, /* the host's files, into the segments */
};

/* The one system call that a request needs next. */
struct bh_image_step {
    enum bh_image_call call;
    bool direct; /* on direct_fd */
    int flags;   /* RWF_* of a write, FALLOC_FL_* of fallocate */
    struct bh_seg *segs;
    uint32_t seg_count;
    uint64_t offset, len;
};

/* Is the request's road one of system calls that wait, whatever moves bytes otherwise? */
bool bh_image_wants_thread(const struct bh_image *image, const struct bh_store_req *req);
/* Make the step's call; it may wait. As bh_image_result wants it. */
int64_t bh_image_call(const struct bh_image *image, const struct bh_image_step *step);
/* A request's road: start, then next and result in turns until result says that it is over (req->result). */
void bh_image_start(struct bh_store_req *req);
/* False: there is nothing to do, the request is over. */
bool bh_image_next(struct bh_image *image, struct bh_store_req *req, struct bh_image_step *step);
/* What the call returned: bytes, 0 or -errno. True: over. */
bool bh_image_result(struct bh_image *image, struct bh_store_req *req, int64_t result);

#endif
