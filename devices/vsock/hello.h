/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line with which a connection to a guest begins on a Unix socket, and its answer. For programs of the host it is
 * the convention of Firecracker and cloud-hypervisor; between siblings it has two words more.
 *
 *   CONNECT 1234\n                           ->  OK 1073741824\n
 *   CONNECT 1234 FROM 5678 stream\n           ->  OK 5678\n      (or seqpacket)
 *
 * Threading: pure.   Ownership: none.   May block: no.
 */
#ifndef DEVICES_VSOCK_HELLO_H
#define DEVICES_VSOCK_HELLO_H

#include <bulkhead/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BH_VSOCK_LINE_MAX 64u /* bytes, with the line's end */

struct bh_vsock_hello {
    uint32_t port;
    uint32_t from; /* siblings: the asking guest's port */
    bool seqpacket;
};

/* `line` without its end. BH_ERR_SYNTAX. The words' case is free, and so is white space behind them. */
int bh_vsock_hello_parse(const char *line, size_t len, bool sibling,
                         struct bh_vsock_hello *hello) BH_MUST_USE;
/* "OK 5678", without its end. */
bool bh_vsock_hello_accepted(const char *line, size_t len);

#endif
