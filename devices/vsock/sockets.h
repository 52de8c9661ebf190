/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's sockets on which guests are reached and reach out: by a path, or by AF_VSOCK where the host has it. All
 * are non-blocking and closed on exec.
 *
 * Threading: pure.   Ownership: an fd returned is the caller's.   May block: no.
 */
#ifndef DEVICES_VSOCK_SOCKETS_H
#define DEVICES_VSOCK_SOCKETS_H

#include <bulkhead/err.h>
#include <stdint.h>

#define BH_VSOCK_BACKLOG 1024

/* `type`: SOCK_STREAM or SOCK_SEQPACKET. The fd, or BH_ERR_AGAIN: its queue is full, try again; BH_ERR_NOENT: nobody
 * listens there; BH_ERR_RANGE: the path is too long; BH_ERR_IO. */
int bh_vsock_dial_path(const char *path, int type) BH_MUST_USE;
/* Likewise; *connecting: wait until it is writable, then ask bh_vsock_dialled. BH_ERR_UNSUPPORTED: no AF_VSOCK. */
int bh_vsock_dial_host(uint32_t cid, uint32_t port, int type, int *connecting) BH_MUST_USE;
int bh_vsock_dialled(int fd) BH_MUST_USE;

/* Listen for many. BH_ERR_UNSUPPORTED, _ACCESS, _BUSY, _IO. */
int bh_vsock_listen_host(uint32_t port, int type) BH_MUST_USE;

#endif
