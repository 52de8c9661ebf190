/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words for error codes. Freestanding code counts and returns codes; what they mean is said by its hosted
 * owner, so the table stands here and costs firmware nothing.
 */
#include <bulkhead/err.h>

const char *bh_err_text(int err)
{
    switch ((enum bh_err)err) {
    case BH_OK: return "no error";
    case BH_ERR_NOMEM: return "out of memory";
    case BH_ERR_INVAL: return "value not allowed";
    case BH_ERR_IO: return "input or output failed";
    case BH_ERR_NOSPC: return "no space left";
    case BH_ERR_AGAIN: return "nothing yet";
    case BH_ERR_PENDING: return "translation under way";
    case BH_ERR_FAULT: return "address outside memory";
    case BH_ERR_PROTO: return "protocol broken by the peer";
    case BH_ERR_BROKEN: return "needs a reset";
    case BH_ERR_NOENT: return "no such entry";
    case BH_ERR_EXIST: return "exists already";
    case BH_ERR_ACCESS: return "not permitted";
    case BH_ERR_BUSY: return "held by somebody else";
    case BH_ERR_UNSUPPORTED: return "not supported here";
    case BH_ERR_CLOSED: return "closed by the peer";
    case BH_ERR_TIMEOUT: return "timed out";
    case BH_ERR_CANCELLED: return "cancelled";
    case BH_ERR_SYNTAX: return "does not parse";
    case BH_ERR_RANGE: return "out of range";
    case BH_ERR_CHILD: return "child process failed";
    }
    return "unknown error";
}
