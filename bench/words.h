/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workloads' names and what each is, one line without a full stop: for the table of workloads, and for the help and
 * the man page of the command, which does not link the table.
 *
 * Threading: pure.   Ownership: none.   May block: no.
 */
#ifndef BENCH_WORDS_H
#define BENCH_WORDS_H

#define BENCH_BLK_RANDREAD  "blk-randread", "Disk: reads at random places"
#define BENCH_BLK_RANDWRITE "blk-randwrite", "Disk: writes at random places"
#define BENCH_BLK_MIXED     "blk-mixed", "Disk: random, 70 % reads and 30 % writes"
#define BENCH_BLK_SEQREAD   "blk-seqread", "Disk: reads, one behind the other"
#define BENCH_BLK_SEQWRITE  "blk-seqwrite", "Disk: writes, one behind the other"
#define BENCH_BLK_VERIFY    "blk-verify", "Disk: each block written, read back and compared"
#define BENCH_NET_SEND      "net-send", "Network: frames that the guest sends into nothing"
#define BENCH_NET_LINK      "net-link", "Network: from one guest to another, a cable between them"
#define BENCH_NET_SWITCH    "net-switch", "Network: from one guest to another, through the switch"
#define BENCH_VSOCK_SENDS   "vsock-send", "Sockets: bytes from the guest to a program of the host"
#define BENCH_VSOCK_TAKES   "vsock-receive", "Sockets: bytes from a program of the host to the guest"
#define BENCH_VSOCK_ASKS    "vsock-ask", "Sockets: a question of the guest's, and the answer"
#define BENCH_VSOCK_OPENS   "vsock-connect", "Sockets: connections opened and closed"
#define BENCH_RNG           "rng", "Entropy: reads"
#define BENCH_CONSOLE       "console", "Console: what the guest prints, thrown away"
#define BENCH_START_BLK                                                                                      \
    "start-blk", "A disk's process: from its start until it answers, and its private memory"
#define BENCH_START_NET     "start-net", "A network card's process: likewise"
#define BENCH_START_VSOCK   "start-vsock", "A socket device's process: likewise"
#define BENCH_START_RNG     "start-rng", "An entropy source's process: likewise"
#define BENCH_START_CONSOLE "start-console", "A console's process: likewise"

/* X(name, says) of each, in the order of the help. */
#define BENCH_WORKLOADS(X)                                                                                   \
    X(BENCH_BLK_RANDREAD)                                                                                    \
    X(BENCH_BLK_RANDWRITE)                                                                                   \
    X(BENCH_BLK_MIXED)                                                                                       \
    X(BENCH_BLK_SEQREAD)                                                                                     \
    X(BENCH_BLK_SEQWRITE)                                                                                    \
    X(BENCH_BLK_VERIFY)                                                                                      \
    X(BENCH_NET_SEND)                                                                                        \
    X(BENCH_NET_LINK)                                                                                        \
    X(BENCH_NET_SWITCH)                                                                                      \
    X(BENCH_VSOCK_SENDS)                                                                                     \
    X(BENCH_VSOCK_TAKES)                                                                                     \
    X(BENCH_VSOCK_ASKS)                                                                                      \
    X(BENCH_VSOCK_OPENS)                                                                                     \
    X(BENCH_RNG)                                                                                             \
    X(BENCH_CONSOLE)                                                                                         \
    X(BENCH_START_BLK)                                                                                       \
    X(BENCH_START_NET)                                                                                       \
    X(BENCH_START_VSOCK)                                                                                     \
    X(BENCH_START_RNG)                                                                                       \
    X(BENCH_START_CONSOLE)

#endif
