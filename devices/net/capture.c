/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pcap file: its header, then records, in the byte order of the host, with nanoseconds.
 *
 * #syscalls writev clock_gettime
 */
#include "devices/net/capture.h"

#include "devices/net/port.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PCAP_MAGIC_NS 0xa1b23c4du
#define PCAP_ETHERNET 1u
#define PCAP_SNAPLEN  262144u
#define PARTS_MAX     (BH_NET_SEGS + 2u)

struct pcap_header {
    uint32_t magic;
    uint16_t major, minor;
    int32_t zone;
    uint32_t accuracy, snaplen, link_type;
};
_Static_assert(sizeof(struct pcap_header) == 24, "pcap's file header");

struct pcap_record {
    uint32_t seconds, nanoseconds, captured, len;
};
_Static_assert(sizeof(struct pcap_record) == 16, "pcap's record header");
_Static_assert(offsetof(struct bh_seg, len) == offsetof(struct iovec, iov_len), "segments are iovecs");

int bh_capture_open(struct bh_capture *capture, const char *path, uint64_t limit, struct bh_diag_sink *sink)
{
    const struct pcap_header header = {
        .magic = PCAP_MAGIC_NS, .major = 2, .minor = 4, .snaplen = PCAP_SNAPLEN, .link_type = PCAP_ETHERNET};

    /* For reading too: a FIFO opens without anybody at its other end then. */
    *capture = (struct bh_capture){.left = limit, .sink = sink};
    capture->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC, 0600);
    if (capture->fd >= 0 && write(capture->fd, &header, sizeof(header)) == (ssize_t)sizeof(header))
        return BH_OK;
    bh_error(sink, NULL, NULL, "capture: %s: %s", path, strerror(errno));
    bh_capture_close(capture);
    return BH_ERR_IO;
}

void bh_capture_close(struct bh_capture *capture)
{
    if (capture->fd >= 0)
        close(capture->fd);
    capture->fd = -1;
}

static void end(struct bh_capture *capture, const char *why)
{
    bh_warn(capture->sink, NULL, NULL, "the capture has ended: %s", why);
    bh_capture_close(capture);
}

void bh_capture_frame(struct bh_capture *capture, const struct bh_seg *segs, unsigned count, uint32_t len)
{
    struct iovec parts[PARTS_MAX];
    struct timespec now;
    const size_t bytes = sizeof(struct pcap_record) + len;

    if (capture->fd < 0 || capture->paused)
        return;
    BH_ASSERT(count < PARTS_MAX);
    if (bytes > capture->left) {
        end(capture, "its file is as large as it may be");
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    struct pcap_record record = {(uint32_t)now.tv_sec, (uint32_t)now.tv_nsec, len, len};
    parts[0] = (struct iovec){&record, sizeof(record)};
    memcpy(&parts[1], segs, count * sizeof(*parts));
    const ssize_t put = writev(capture->fd, parts, (int)count + 1);
    if (put < 0 && errno == EAGAIN)
        return; /* a FIFO that nobody reads just now: the frame is not in it */
    if (put != (ssize_t)bytes)
        end(capture, put < 0 ? strerror(errno) : "its file is full");
    else
        capture->left -= bytes;
}

static const char *const states[] = {"off", "on", NULL};

const struct bh_option bh_capture_arguments[] = {
    {.name = "state",
     .type = BH_OPT_ENUM,
     .offset = offsetof(struct bh_capture_values, state),
     .values = states,
     .required = true,
     .help = "Leave frames out of the capture, or take them up again"},
    {.name = NULL},
};

int bh_capture_set(struct bh_capture *capture, const struct bh_capture_values *values,
                   struct bh_diag_sink *sink)
{
    if (capture->fd < 0) {
        bh_error(sink, NULL, "give it a capture=FILE", "there is no capture, or its file is full");
        return BH_ERR_UNSUPPORTED;
    }
    capture->paused = values->state == 0;
    return BH_OK;
}
