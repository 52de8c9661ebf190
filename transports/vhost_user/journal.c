/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's page: where it comes from, which fds are kept with it, and the step from one image to the next.
 *
 * #syscalls memfd_create ftruncate fcntl fstat newfstatat kcmp
 */
#include "transports/vhost_user/server.h"

#include <bulkhead/impl/class.h>
#include <bulkhead/impl/inflight.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The state's, in turns: a copy is put before what it was copied from is dropped. */
static const char *const state_names[2] = {"vu-state", "vu-state-too"};
#define ID_PREFIX "vu-"
#define SEALS     (F_SEAL_SHRINK | F_SEAL_GROW)

/* --- system calls that leave a trace --------------------------------------------------------------------- */

uint32_t bh_vu_moved(const struct bh_vu_moves *moves, uint32_t most)
{
    const struct bh_vu_move *move = &moves->move[moves->current & 1u];
    const uint64_t sum = (uint64_t)move->before + move->made.call.msg_len;
    return sum < most ? (uint32_t)sum : most;
}

uint32_t bh_vu_moved_fds(const struct bh_vu_moves *moves)
{
    const struct bh_vu_move *move = &moves->move[moves->current & 1u];
    /* Without a control buffer this flag says that fds came with the bytes. */
    const bool came = move->made.call.msg_len && move->made.call.msg_hdr.msg_flags & MSG_CTRUNC;
    const uint64_t sum = (uint64_t)move->fd_before + (came ? move->fd_count : 0);
    return sum < BH_VU_FDS_MAX ? (uint32_t)sum : BH_VU_FDS_MAX;
}

struct mmsghdr *bh_vu_next_move(struct bh_vu_moves *moves, uint8_t *bytes, uint32_t len, uint32_t most,
                                uint32_t fd_count)
{
    const uint32_t next = bh_moves_next(moves->current);
    struct bh_vu_move *move = &moves->move[next];
    move->before = bh_vu_moved(moves, most);
    move->fd_before = bh_vu_moved_fds(moves);
    move->fd_count = fd_count;
    bh_move_init(&move->made, bytes, len);
    bh_moves_go(&moves->current, next);
    return &move->made.call;
}

/* --- fds ------------------------------------------------------------------------------------------------- */

static void name_of(uint32_t id, char name[BH_KEEPER_NAME_MAX])
{
    snprintf(name, BH_KEEPER_NAME_MAX, ID_PREFIX "%u", id);
}

/* The id in a name; 0: it is none of ours. */
static uint32_t id_of(const char *name)
{
    char again[BH_KEEPER_NAME_MAX];
    unsigned long id;
    if (strncmp(name, ID_PREFIX, strlen(ID_PREFIX)) != 0)
        return 0;
    id = strtoul(name + strlen(ID_PREFIX), NULL, 10);
    if (id == 0 || id >= UINT32_MAX)
        return 0;
    name_of((uint32_t)id, again);
    return strcmp(name, again) == 0 ? (uint32_t)id : 0;
}

static void drop_at(struct bh_vu_journal *journal, unsigned at)
{
    char name[BH_KEEPER_NAME_MAX];
    name_of(journal->kept[at].id, name);
    journal->keeper->ops->drop(journal->keeper, name);
    close(journal->kept[at].fd);
    journal->kept[at] = journal->kept[--journal->kept_count];
}

/* The same open file description: a keeper may take a second name for it for a duplicate, and forget it. */
static uint32_t find_same(const struct bh_vu_journal *journal, int fd)
{
    const pid_t self = getpid();
    for (unsigned i = 0; i < journal->kept_count; i++)
        if (syscall(SYS_kcmp, self, self, KCMP_FILE, fd, journal->kept[i].fd) == 0)
            return journal->kept[i].id;
    return 0;
}

static void spoil(struct bh_vhost_user *server, const char *why)
{
    struct bh_vu_journal *journal = &server->journal;
    journal->spoilt = true;
    journal->page->image[0].flags = journal->page->image[1].flags = 0;
    bh_lasting_order();
    while (journal->kept_count)
        drop_at(journal, journal->kept_count - 1);
    bh_vu_say(server, "%s: this connection will not outlive this process", why);
}

uint32_t bh_vu_journal_keep(struct bh_vhost_user *server, int fd)
{
    struct bh_vu_journal *journal = &server->journal;
    char name[BH_KEEPER_NAME_MAX];
    uint32_t id;
    int ours;
    if (!bh_vu_journal_keeps(journal))
        return 0;
    id = find_same(journal, fd);
    if (id)
        return id;
    id = journal->page->next_id;
    ours = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (journal->kept_count == BH_VU_KEPT_MAX || id == UINT32_MAX || ours < 0) {
        if (ours >= 0)
            close(ours);
        spoil(server, "there are too many file descriptors");
        return 0;
    }
    journal->page->next_id = id + 1;
    name_of(id, name);
    if (journal->keeper->ops->put(journal->keeper, name, fd)) {
        close(ours);
        spoil(server, "the service manager did not take a file descriptor");
        return 0;
    }
    journal->kept[journal->kept_count].id = id;
    journal->kept[journal->kept_count++].fd = ours;
    return id;
}

int bh_vu_journal_look(const struct bh_vu_journal *journal, uint32_t id)
{
    for (unsigned i = 0; i < journal->kept_count; i++)
        if (journal->kept[i].id == id)
            return journal->kept[i].fd;
    return -1;
}

int bh_vu_journal_fd(const struct bh_vu_journal *journal, uint32_t id)
{
    const int fd = bh_vu_journal_look(journal, id);
    return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static bool stands_for(const struct bh_vhost_user *server, const struct bh_vu_image *image, uint32_t id)
{
    bool found = id == image->conn_id || id == image->backend_id || id == image->log_id ||
                 id == image->log_fd_id || id == image->inflight_id || id == image->state_id ||
                 id == image->out.fd_id;
    for (unsigned i = 0; i < image->region_count && i < BH_VU_REGIONS_MAX && !found; i++)
        found = id == image->regions[i].fd_id;
    for (unsigned i = 0; i < server->dev->queue_count && !found; i++)
        found =
            id == image->rings[i].kick_id || id == image->rings[i].call_id || id == image->rings[i].err_id;
    for (unsigned i = 0; i < bh_vu_moved_fds(&image->in.moves) && !found; i++)
        found = id == image->in.fd_ids[i];
    return found;
}

/* Drop what the current image does not stand for. */
static void sweep(struct bh_vhost_user *server)
{
    struct bh_vu_journal *journal = &server->journal;
    const struct bh_vu_image *image = bh_vu_journal_now(journal);
    for (unsigned i = journal->kept_count; i > 0; i--)
        if (!stands_for(server, image, journal->kept[i - 1].id))
            drop_at(journal, i - 1);
}

/* --- from one image to the next -------------------------------------------------------------------------- */

void bh_vu_journal_commit(struct bh_vhost_user *server)
{
    struct bh_vu_journal *journal = &server->journal;
    struct bh_vu_page *page = journal->page;
    struct bh_vu_wire *wire = &server->wire;
    const uint32_t next = !(page->current & 1u);
    struct bh_vu_image *image = &page->image[next];
    if (bh_vu_journal_keeps(journal)) {
        memset(image, 0, sizeof(*image));
        bh_vu_image_capture(server, image);
    } else {
        memset(&image->out, 0, sizeof(image->out));
        memset(&image->in, 0, sizeof(image->in));
    }
    memcpy(image->out.bytes, wire->reply, wire->reply_size);
    image->out.size = wire->reply_size;
    image->out.fd_id = wire->reply_fd_id;
    wire->reply_size = 0;
    bh_lasting_order();
    page->current = next;
    bh_lasting_order();
    if (bh_vu_journal_keeps(journal))
        sweep(server);
}

/* --- where the page comes from --------------------------------------------------------------------------- */

static uint32_t records_stride(const struct bh_device *dev)
{
    size_t most = 0;
    for (unsigned i = 0; i < dev->queue_count; i++) {
        const uint16_t size = dev->queues[i].memory.size_max;
        for (unsigned packed = 0; packed < 2; packed++)
            if (most < bh_inflight_bytes(size, packed))
                most = bh_inflight_bytes(size, packed);
    }
    return (uint32_t)(most + 63u) & ~63u;
}

void *bh_vu_journal_records(const struct bh_vu_journal *journal, unsigned index, size_t *size)
{
    if (!bh_vu_journal_keeps(journal))
        return NULL;
    *size = journal->records_stride;
    return (uint8_t *)journal->page + journal->records_at + (size_t)index * journal->records_stride;
}

static size_t lasting_size(const struct bh_device *dev)
{
    return dev->class->lasting_size && dev->class->lasting ? dev->class->lasting_size(dev) : 0;
}

void bh_vu_journal_lend(struct bh_vhost_user *server)
{
    struct bh_vu_journal *journal = &server->journal;
    if (!journal->keeper || !lasting_size(server->dev))
        return;
    server->dev->class->lasting(server->dev, (uint8_t *)journal->page + journal->class_at, journal->former);
    journal->page->class_size = lasting_size(server->dev);
    journal->lent = true;
}

void bh_vu_journal_take_back(struct bh_vhost_user *server)
{
    if (server->journal.lent)
        server->dev->class->lasting(server->dev, NULL, false);
    server->journal.lent = false;
}

static size_t records_offset(void)
{
    return (sizeof(struct bh_vu_page) + 63u) & ~(size_t)63u;
}

static size_t class_offset(const struct bh_device *dev)
{
    return records_offset() + (size_t)records_stride(dev) * dev->queue_count;
}

static size_t page_size(const struct bh_device *dev)
{
    return (class_offset(dev) + lasting_size(dev) + 4095u) & ~(size_t)4095u;
}

static int map_page(struct bh_vu_journal *journal, int fd, size_t size)
{
    journal->page =
        mmap(NULL, size, PROT_READ | PROT_WRITE, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
    if (journal->page == MAP_FAILED) {
        journal->page = NULL;
        return BH_ERR_NOMEM;
    }
    journal->page_size = size;
    if (fd < 0)
        return BH_OK;
    /* The kernel's note of what a call moved must not wait for memory in a process that is being killed. */
    (void)mlock(journal->page, sizeof(*journal->page));
    (void)madvise(journal->page, size, MADV_DONTDUMP);
    return BH_OK;
}

static void unmap_page(struct bh_vu_journal *journal)
{
    munmap(journal->page, journal->page_size);
    journal->page = NULL;
}

/* Is it a page that one of us has laid, for a device of this shape? Its words are read once, and kept. */
static const char *accept_page(struct bh_vhost_user *server)
{
    struct bh_vu_journal *journal = &server->journal;
    const struct bh_vu_page *page = journal->page;
    const uint64_t at = page->records_at, stride = page->records_stride, class_at = page->class_at;
    if (page->magic != BH_VU_JOURNAL_MAGIC)
        return "it is none of ours";
    if (page->version != BH_VU_JOURNAL_VERSION)
        return "it is of another version";
    if (page->queue_count != server->dev->queue_count)
        return "it is of a device with another number of queues";
    if (page->size != journal->page_size || at % 64 || stride % 64 || at < sizeof(*page) ||
        stride > UINT32_MAX || at > journal->page_size ||
        stride * server->dev->queue_count > journal->page_size - at || class_at % 64 ||
        class_at < sizeof(*page) || class_at > journal->page_size ||
        lasting_size(server->dev) > journal->page_size - class_at)
        return "its parts do not fit into it";
    journal->records_at = at;
    journal->records_stride = (uint32_t)stride;
    journal->class_at = class_at;
    journal->former = page->class_size == lasting_size(server->dev);
    return NULL;
}

/* A sealed file for a page of `size` bytes, mapped. The fd, or BH_ERR_IO. */
static int new_page(struct bh_vu_journal *journal, size_t size)
{
    const int fd = memfd_create("bulkhead-vhost-user", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return BH_ERR_IO;
    if (ftruncate(fd, (off_t)size) || fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) ||
        map_page(journal, fd, size)) {
        close(fd);
        return BH_ERR_IO;
    }
    return fd;
}

static bool read_all(int fd, uint8_t *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        const ssize_t got = pread(fd, bytes + done, size - done, (off_t)done);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            return false;
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* What was copied is never gone on from again, though the keeper should not hear that it is to drop it. */
static void mark_copied(int fd)
{
    const uint32_t none = 0;
    (void)!pwrite(fd, &none, sizeof(none), offsetof(struct bh_vu_page, magic));
}

static bool was_copied(int fd)
{
    uint32_t magic;
    return pread(fd, &magic, sizeof(magic), offsetof(struct bh_vu_page, magic)) == sizeof(magic) &&
           magic == 0;
}

/*
 * Go on from a copy of what a former process left under state_names[name]. Whoever that process gave its page to has it
 * still, mapped; the headers of system calls lie in it, pointers and all, so it is not to be used by another process.
 * NULL, or why not.
 */
static const char *copy_former(struct bh_vhost_user *server, int fd, unsigned name)
{
    struct bh_vu_journal *journal = &server->journal;
    const int seals = fcntl(fd, F_GET_SEALS);
    const char *why = NULL;
    struct stat file;
    int ours;
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &file) ||
        file.st_size < (off_t)sizeof(*journal->page) ||
        file.st_size > (off_t)(4 * page_size(server->dev) + (1u << 20)))
        return "it is no sealed memory of the right size";
    ours = new_page(journal, (size_t)file.st_size);
    if (ours < 0)
        return "it cannot be copied";
    if (!read_all(fd, (uint8_t *)journal->page, journal->page_size))
        why = "it cannot be read";
    if (!why)
        why = accept_page(server);
    if (!why && journal->keeper->ops->put(journal->keeper, state_names[!name], ours))
        why = "the service manager did not take its copy";
    close(ours);
    if (why) {
        unmap_page(journal);
        return why;
    }
    journal->state_name = state_names[!name];
    mark_copied(fd);
    journal->keeper->ops->drop(journal->keeper, state_names[name]);
    return NULL;
}

/* Everything under our names becomes ours, or is dropped. */
static void take_kept(struct bh_vu_journal *journal, bool wanted)
{
    struct bh_keeper *keeper = journal->keeper;
    for (size_t i = 0; i < keeper->kept_count; i++) {
        struct bh_kept *kept = &keeper->kept[i];
        const uint32_t id = id_of(kept->name);
        if (kept->fd < 0 || strncmp(kept->name, ID_PREFIX, strlen(ID_PREFIX)) != 0)
            continue;
        if (wanted && id && journal->kept_count < BH_VU_KEPT_MAX) {
            journal->kept[journal->kept_count].id = id;
            journal->kept[journal->kept_count++].fd = kept->fd;
            if (journal->page->next_id <= id)
                journal->page->next_id = id + 1;
        } else {
            keeper->ops->drop(keeper, kept->name);
            close(kept->fd);
        }
        kept->fd = -1;
    }
}

static int lay_page(struct bh_vhost_user *server)
{
    struct bh_vu_journal *journal = &server->journal;
    const uint32_t stride = records_stride(server->dev);
    const size_t at = records_offset(), class_at = class_offset(server->dev), size = page_size(server->dev);
    const int fd = new_page(journal, size);
    if (fd < 0)
        return BH_ERR_IO;
    journal->records_at = at;
    journal->records_stride = stride;
    journal->class_at = class_at;
    *journal->page = (struct bh_vu_page){
        .magic = BH_VU_JOURNAL_MAGIC,
        .version = BH_VU_JOURNAL_VERSION,
        .size = size,
        .queue_count = server->dev->queue_count,
        .next_id = 1,
        .records_at = at,
        .records_stride = stride,
        .class_at = class_at,
        .class_size = lasting_size(server->dev),
    };
    journal->state_name = state_names[0];
    if (journal->keeper->ops->put(journal->keeper, journal->state_name, fd)) {
        bh_vu_say(server,
                  "the service manager keeps nothing for us: connections will not outlive this process");
        journal->keeper = NULL;
    }
    close(fd);
    return BH_OK;
}

int bh_vu_journal_open(struct bh_vhost_user *server)
{
    struct bh_vu_journal *journal = &server->journal;
    const char *why = NULL;
    int fds[2], fd;
    unsigned name;
    if (!journal->keeper)
        return map_page(journal, -1, sizeof(*journal->page));
    for (unsigned i = 0; i < 2; i++)
        fds[i] = bh_keeper_take(journal->keeper, state_names[i]);
    /* Two when a process was killed between a copy's put and the drop, or the drop was lost: the newer, or they are the same. */
    name = fds[0] < 0 || (fds[1] >= 0 && was_copied(fds[0]));
    fd = fds[name];
    if (fd >= 0 && fds[!name] >= 0) {
        journal->keeper->ops->drop(journal->keeper, state_names[!name]);
        close(fds[!name]);
    }
    if (fd >= 0) {
        why = copy_former(server, fd, name);
        close(fd);
        if (!why) {
            journal->resumable = bh_vu_journal_now(journal)->flags & BH_VU_IMAGE_SERVING;
            take_kept(journal, journal->resumable);
            return BH_OK;
        }
        journal->keeper->ops->drop(journal->keeper, state_names[name]);
        bh_vu_say(server, "the state that a former process left is of no use: %s", why);
    }
    take_kept(journal, false);
    return lay_page(server);
}

void bh_vu_journal_close(struct bh_vhost_user *server)
{
    struct bh_vu_journal *journal = &server->journal;
    if (!journal->page)
        return;
    bh_vu_journal_take_back(server);
    while (journal->kept_count)
        drop_at(journal, journal->kept_count - 1);
    if (journal->keeper)
        journal->keeper->ops->drop(journal->keeper, journal->state_name);
    unmap_page(journal);
}
