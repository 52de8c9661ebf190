/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device and its driver in one thread, in turns, over the pipe: what bench-ring and bench-blk share.
 *
 * Theory of operation
 *   The driver makes a batch available, the device is pumped until it rests, the driver takes the batch back. So batch
 * sizes are what was asked for, whatever the machine does meanwhile, and the instructions of a round are the same in
 * every run. tools/instructions runs these programs under callgrind, which counts inside `rounds` only, and adds up
 * what belongs to core/ and to the class. Run by itself a program tells the time a request takes, both sides together.
 *
 *   A request has the shape of a disk's read: 16 readable bytes, 4096 writable ones, 1 writable one.
 *
 * Threading: one thread.   Ownership: all is the program's and never given back.   May block: no.
 */
#ifndef BENCH_LOCKSTEP_H
#define BENCH_LOCKSTEP_H

#include "driver/guest.h"
#include "transports/pipe/pipe.h"

#define LOCKSTEP_QUEUE  128u
#define LOCKSTEP_BATCH  32u
#define LOCKSTEP_PIECES 3u
#define LOCKSTEP_SEGS   (LOCKSTEP_PIECES + 1u)
#define LOCKSTEP_LEN    4097u /* what the device writes of each request */

/*
 * `make` gives the device its one queue, of `memory`. `request` writes the 16 bytes that the device reads; NULL: they do
 * not matter. argv: split|packed direct|indirect any|in_order BATCH REQUESTS.
 */
int lockstep_main(int argc, char **argv,
                  struct bh_device *(*make)(struct bh_mem *mem, const struct bh_virtq_memory *memory),
                  void (*request)(void *header, unsigned index));

/* Says what is wrong and ends the program. */
_Noreturn void lockstep_fail(const char *what);

#endif
