/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: the one set of negative codes that every function of Bulkhead returns for a failure of its
 * environment. A misbehaving peer is not an error code: it is NEEDS_RESET with a reason (virtq.h) or an error
 * reply of the protocol. A bug of ours is BH_ASSERT (base.h).
 *
 * Threading: the functions are pure.   Ownership: strings are static.   May block: no.
 */
#ifndef BULKHEAD_ERR_H
#define BULKHEAD_ERR_H

enum bh_err {
    BH_OK = 0,
    BH_ERR_NOMEM = -1,        /* memory, or room in a table of fixed size, ran out */
    BH_ERR_INVAL = -2,        /* the caller's or the user's value is not one that is allowed */
    BH_ERR_IO = -3,           /* the host's device, file or socket failed */
    BH_ERR_NOSPC = -4,        /* the host's file system or disk is full */
    BH_ERR_AGAIN = -5,        /* nothing now; call again when told to */
    BH_ERR_PENDING = -6,      /* a translation is under way; nothing was consumed; call again */
    BH_ERR_FAULT = -7,        /* an address that no region covers */
    BH_ERR_PROTO = -8,        /* the peer broke the protocol */
    BH_ERR_BROKEN = -9,       /* the queue or device needs a reset before it is used again */
    BH_ERR_NOENT = -10,       /* no such file, device, domain or name */
    BH_ERR_EXIST = -11,       /* it is there already */
    BH_ERR_ACCESS = -12,      /* the host forbids it */
    BH_ERR_BUSY = -13,        /* somebody else holds it (a lock on an image, a running system) */
    BH_ERR_UNSUPPORTED = -14, /* not offered here, or not negotiated */
    BH_ERR_CLOSED = -15,      /* the peer went away */
    BH_ERR_TIMEOUT = -16,     /* what was waited for did not come in time */
    BH_ERR_CANCELLED = -17,   /* stopped on request */
    BH_ERR_SYNTAX = -18,      /* a text or a blob that does not parse */
    BH_ERR_RANGE = -19,       /* a number outside its limits */
    BH_ERR_CHILD = -20,       /* a process that we started ended badly */
};

/* A failure that is not looked at is a defect. */
#define BH_MUST_USE __attribute__((warn_unused_result))

/* The code's name in lower case words ("no such entry"), for messages. Never NULL. */
const char *bh_err_text(int err);

#endif
