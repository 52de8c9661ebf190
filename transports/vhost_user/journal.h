/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: all that a successor needs to go on with this connection, in a memfd that a keeper holds.
 * docs/recovery-journal.md tells the whole; here is what lies where.
 *
 * Theory of operation
 *   A process can be killed between any two instructions, but inside of a system call only where that call returns.
 * What it stored before is in the memfd, in program order, and what it did not is not.
 *
 *   An image is the connection's whole state after a number of messages: what they set, the answer to the last one, and
 * room for the next one. There are two. A message is handled, then the other image is filled, then one store makes it the
 * current one. So the state a successor finds is always one between two messages.
 *
 *   Bytes leave and come by recvmmsg() and sendmmsg() whose headers lie in the image: the kernel itself notes in msg_len
 * how many bytes a call moved, before the call can end in the process's death. A message is first peeked at, which
 * duplicates its fds; these are put with the keeper, and only then is it taken out of the socket. (A look at a message
 * without fds shows those of the next one; that the bytes taken had some is what MSG_CTRUNC in msg_flags says then.) Two
 * headers take turns, each with the count of bytes before it, so that a message in several pieces is no special case.
 *
 *   fds are kept under numbers that are never used again. One that no image and no message at hand stands for is dropped.
 *
 *   Without a keeper the same road is gone in memory of our own, and nothing is put or captured.
 *
 * What a successor finds is outside data: it goes on from a copy, in a file of its own, and checks that. While it runs,
 * what is read here again (a count, an index) is brought within bounds at each use.
 *
 * Threading: the loop's thread.   Ownership: the mapping and the duplicates in `kept` are the journal's.
 * May block: as the keeper may.
 */
#ifndef TRANSPORTS_VHOST_USER_JOURNAL_H
#define TRANSPORTS_VHOST_USER_JOURNAL_H

#include "transports/vhost_user/codec.h"
#include "transports/vhost_user/memory.h"
#include <bulkhead/device.h>
#include <bulkhead/impl/keeper.h>
#include <bulkhead/impl/moves.h>

struct bh_vhost_user;

/* --- the form, of version 2 ------------------------------------------------------------------------------ */

#define BH_VU_JOURNAL_MAGIC   0x4a564842u /* "BHVJ", in the machine's byte order: it never leaves the machine */
#define BH_VU_JOURNAL_VERSION 2u
#define BH_VU_CLASS_STATE_MAX 256u
#define BH_VU_MESSAGE_MAX     (sizeof(struct vhost_user_header) + BH_VU_PAYLOAD_MAX)

/* A system call that leaves a trace (moves.h). */
struct bh_vu_move {
    struct bh_move made;
    uint32_t before;              /* bytes moved by the calls before */
    uint32_t fd_before, fd_count; /* fds that came before, and with these bytes */
};

struct bh_vu_moves {
    struct bh_vu_move move[2];
    uint32_t current;
};

struct bh_vu_inbox {
    struct bh_vu_moves moves;
    uint32_t fd_ids[BH_VU_FDS_MAX];
    uint8_t bytes[BH_VU_MESSAGE_MAX];
};

struct bh_vu_outbox {
    struct bh_vu_moves moves;
    uint32_t size;
    uint32_t fd_id; /* goes along with the first byte; 0: none */
    uint8_t bytes[BH_VU_MESSAGE_MAX];
};

enum bh_vu_image_flag {
    BH_VU_IMAGE_SERVING = 1, /* there is a connection */
    BH_VU_IMAGE_PROTOCOL_NEGOTIATED = 2,
    BH_VU_IMAGE_FEATURES_DONE = 4,
    BH_VU_IMAGE_LOG_WANTED = 8,
    BH_VU_IMAGE_HAS_LOG = 16,
    BH_VU_IMAGE_HAS_INFLIGHT = 32,
    BH_VU_IMAGE_STATE_SAVED = 64,
};

enum bh_vu_ring_flag {
    BH_VU_RING_HAS_ADDR = 1,
    BH_VU_RING_HAS_KICK = 2,
    BH_VU_RING_ENABLED = 4,
    BH_VU_RING_STARTED = 8,
    BH_VU_RING_LEFT = 16, /* not started yet; records of a former life are to be taken over when it is */
    BH_VU_RING_KICK_IN_BAND = 32,
    BH_VU_RING_CALL_POLLED = 64,
};

struct bh_vu_image_region {
    struct vhost_user_region told;
    uint32_t fd_id;
    uint32_t copies; /* how often it was told; 0, which no program of ours writes, is once */
};

struct bh_vu_image_ring {
    struct vhost_user_vring_addr addr;
    uint32_t size, base;
    uint32_t flags; /* enum bh_vu_ring_flag */
    uint32_t kick_id, call_id, err_id;
};

/* What messages have set. Ids: 0 stands for none. */
struct bh_vu_image {
    uint32_t flags; /* enum bh_vu_image_flag */
    uint32_t status;
    uint32_t acked[4];
    uint64_t protocol_features;
    uint32_t conn_id, backend_id;
    uint32_t log_id, log_fd_id, inflight_id, state_id;
    uint32_t region_count, zero_too;
    struct vhost_user_log log;
    struct vhost_user_inflight inflight;
    struct bh_vu_image_region regions[BH_VU_REGIONS_MAX];
    struct bh_vu_image_ring rings[BH_DEVICE_QUEUES_MAX];
    uint32_t class_size, zero;
    uint8_t class_state[BH_VU_CLASS_STATE_MAX]; /* as bh_class.save wrote it */
    struct bh_vu_outbox out;                    /* the answer to the last message */
    struct bh_vu_inbox in;                      /* the next message, as far as it came */
};

struct bh_vu_page {
    uint32_t magic;
    uint32_t version;
    uint64_t size; /* of the whole file */
    uint32_t queue_count;
    uint32_t next_id;
    uint32_t current;        /* image 0 or 1 */
    uint32_t records_stride; /* in-flight records of queue i: at records_at + i * records_stride */
    uint64_t records_at;
    uint64_t class_at, class_size; /* bh_class.lasting's */
    struct bh_vu_image image[2];
};

/* --- in use ---------------------------------------------------------------------------------------------- */

/* More than all that an image and a message can stand for. */
#define BH_VU_KEPT_MAX (BH_VU_REGIONS_MAX + 3 * BH_DEVICE_QUEUES_MAX + 3 * BH_VU_FDS_MAX + 8)

struct bh_vu_journal {
    struct bh_keeper *keeper; /* NULL: nobody keeps anything */
    struct bh_vu_page *page;
    size_t page_size;
    const char *state_name; /* under which its file is kept */
    uint64_t records_at;    /* as page has them, checked */
    uint32_t records_stride;
    bool spoilt;    /* the keeper failed: this connection cannot be gone on with */
    bool former;    /* a former process has laid the page */
    bool resumable; /* and it served a connection */
    bool lent;      /* the class uses its part */
    uint64_t class_at;
    struct {
        uint32_t id;
        int fd; /* a duplicate of ours, to know the same file again */
    } kept[BH_VU_KEPT_MAX];
    unsigned kept_count;
};

/*
 * Map the state that the keeper gave back, or lay a new one and put it. BH_ERR_NOMEM; BH_ERR_IO. One that makes no
 * sense is said and replaced.
 */
int bh_vu_journal_open(struct bh_vhost_user *server) BH_MUST_USE;
void bh_vu_journal_close(struct bh_vhost_user *server);

static inline bool bh_vu_journal_keeps(const struct bh_vu_journal *journal)
{
    return journal->keeper && !journal->spoilt;
}
static inline struct bh_vu_image *bh_vu_journal_now(const struct bh_vu_journal *journal)
{
    return &journal->page->image[journal->page->current & 1u];
}
/* Give the class its lasting memory, and take it back. */
void bh_vu_journal_lend(struct bh_vhost_user *server);
void bh_vu_journal_take_back(struct bh_vhost_user *server);
/* Where queue `index` keeps its in-flight records when no front-end gave a place; NULL without a keeper. */
void *bh_vu_journal_records(const struct bh_vu_journal *journal, unsigned index, size_t *size);

/* Keep `fd` (still the caller's): the id under which it is kept; 0 when it is not. */
uint32_t bh_vu_journal_keep(struct bh_vhost_user *server, int fd);
/* What is kept under `id`: the journal's own, or a duplicate that is the caller's; -1: nothing is. */
int bh_vu_journal_look(const struct bh_vu_journal *journal, uint32_t id);
int bh_vu_journal_fd(const struct bh_vu_journal *journal, uint32_t id);

/*
 * A message is done (or a connection was opened or closed): what the server holds now, the reply that is laid out in its
 * wire, and an empty inbox become the current image.
 */
void bh_vu_journal_commit(struct bh_vhost_user *server);

/* Bytes moved so far, at most `most`. */
uint32_t bh_vu_moved(const struct bh_vu_moves *moves, uint32_t most);
/* fds that came with them. */
uint32_t bh_vu_moved_fds(const struct bh_vu_moves *moves);
/* Prepare the next call: it moves up to `len` bytes at `bytes`, fd_count fds with them. */
struct mmsghdr *bh_vu_next_move(struct bh_vu_moves *moves, uint8_t *bytes, uint32_t len, uint32_t most,
                                uint32_t fd_count);

/* --- resume.c -------------------------------------------------------------------------------------------- */

/* What the server holds, but for in- and outbox. */
void bh_vu_image_capture(struct bh_vhost_user *server, struct bh_vu_image *image);
/*
 * Go on with the current image. BH_OK; or an error with *why, and the server is to be closed as any other connection.
 */
int bh_vu_image_restore(struct bh_vhost_user *server, const char **why) BH_MUST_USE;

#endif
