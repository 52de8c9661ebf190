/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving bytes from or to a socket so that their count is right whenever the process is killed. Hosted code only.
 *
 * Theory of operation
 *   A call that is read's or write's kin returns how much it moved, and whoever dies between that and storing it has lost
 * count. sendmmsg and recvmmsg store it themselves, in msg_len of the struct that they are given, and here that struct
 * lies in memory that outlives the process. Two structs take turns, each with the owner's sum of what was moved before
 * it: the next one is filled in while the current one still stands, and a single store makes it the current one.
 *
 * Threading: one thread.   Ownership: the caller's memory; the bytes are only pointed at.   May block: no.
 */
#ifndef BULKHEAD_IMPL_MOVES_H
#define BULKHEAD_IMPL_MOVES_H

#include <bulkhead/impl/class.h>
#include <sys/socket.h>

/* One system call, as the kernel reads and marks it. Its pointers are of the process that made it. */
struct bh_move {
    struct mmsghdr call; /* .msg_len: what the call moved */
    struct iovec part;
};

/* The one of the two that is not current: fill it in, with the sum beside it, then bh_moves_go. */
static inline uint32_t bh_moves_next(uint32_t current)
{
    return !(current & 1u);
}

/* A call that moves up to `len` bytes at `bytes`, not yet made. */
static inline void bh_move_init(struct bh_move *move, void *bytes, size_t len)
{
    move->part = (struct iovec){.iov_base = bytes, .iov_len = len};
    move->call = (struct mmsghdr){.msg_hdr = {.msg_iov = &move->part, .msg_iovlen = 1}};
}

/* `next` counts from now on; its call may be made. */
static inline void bh_moves_go(uint32_t *current, uint32_t next)
{
    bh_lasting_order();
    *current = next;
    bh_lasting_order();
}

#endif
