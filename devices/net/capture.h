/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames written to a file as pcap has it, for tshark and its like.
 *
 * Threading: one thread.   Ownership: the file is the capture's.   May block: as long as a write to the file does.
 */
#ifndef DEVICES_NET_CAPTURE_H
#define DEVICES_NET_CAPTURE_H

#include <bulkhead/impl/option.h>
#include <bulkhead/mem.h>

struct bh_capture {
    int fd; /* -1: none, or it has ended */
    bool paused;
    uint64_t left; /* bytes that the file may still grow by */
    struct bh_diag_sink *sink;
};

/*
 * Make the file (or take a FIFO), anew. It ends, and that is said, when it would grow beyond `limit` bytes. BH_ERR_IO:
 * said.
 */
int bh_capture_open(struct bh_capture *capture, const char *path, uint64_t limit,
                    struct bh_diag_sink *sink) BH_MUST_USE;
void bh_capture_close(struct bh_capture *capture);
/* One frame, of `len` bytes in `count` pieces. */
void bh_capture_frame(struct bh_capture *capture, const struct bh_seg *segs, unsigned count, uint32_t len);

/* The verb "capture" of a control socket: its arguments, and what it does. BH_ERR_UNSUPPORTED: said, there is none. */
struct bh_capture_values {
    int state; /* off, on */
};
extern const struct bh_option bh_capture_arguments[];
int bh_capture_set(struct bh_capture *capture, const struct bh_capture_values *values,
                   struct bh_diag_sink *sink) BH_MUST_USE;

#endif
