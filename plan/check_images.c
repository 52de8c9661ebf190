/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: kernels, ramdisks and disks are looked at, not read whole. A kernel's header says how much memory it
 * needs; where it is a PE file too (an EFI stub, as distributions build it), its section table says how long the
 * file must be, so that half a copy is found before a domain hangs on it.
 */
#include "plan/checks.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD        4096u      /* of a file: as much as is looked at */
#define FDT_ROOM    (2u << 20) /* the guest's device tree, beside kernel and ramdisk */
#define PE_SECTIONS 32u

struct head {
    uint8_t data[HEAD];
    size_t size; /* bytes of data that the file has */
    uint64_t file_size;
};

static uint64_t little(const uint8_t *data, unsigned bytes)
{
    uint64_t value = 0;

    while (bytes-- > 0)
        value = value << 8 | data[bytes];
    return value;
}

/* What to do about a file that cannot be read; mostly it is not there. */
static const char *missing_hint(const struct bh_draft *draft, const char *path, int error)
{
    if (error == EACCES)
        return "this user may not: change its mode, or its folders'";
    return strncmp(path, draft->cache_dir, strlen(draft->cache_dir)) == 0
               ? "`./run` fetches the guests' images into the cache; --cache-dir= names another one"
               : "a path is relative to the description's folder";
}

/* Read a regular file's head; nothing else is opened: to open a device may do something. False: reported. */
static bool read_head(struct bh_draft *draft, const struct bh_diag_where *where, const char *what,
                      const char *path, struct head *head)
{
    struct stat status;
    int error = stat(path, &status) < 0 ? errno : 0, fd = -1;
    ssize_t got = -1;

    if (error == 0 && !S_ISREG(status.st_mode)) {
        bh_report_error(draft->report, where, NULL, NULL, "%s %s is no regular file", what, path);
        return false;
    }
    if (error == 0) {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        got = fd < 0 ? -1 : pread(fd, head->data, sizeof(head->data), 0);
        error = got < 0 ? errno : 0;
    }
    if (fd >= 0)
        close(fd);
    if (got > 0) {
        head->size = (size_t)got;
        head->file_size = (uint64_t)status.st_size;
        return true;
    }
    if (error != 0)
        bh_report_error(draft->report, where, NULL, missing_hint(draft, path, error), "%s %s: %s", what, path,
                        strerror(error));
    else
        bh_report_error(draft->report, where, NULL, "copy or make it again", "%s %s is empty", what, path);
    return false;
}

static bool starts(const struct head *head, size_t at, const char *bytes, size_t count)
{
    return head->size >= at + count && memcmp(head->data + at, bytes, count) == 0;
}

/* What it is when it is no arm64 Image, for the hint. */
static const char *other_kernel(const struct head *head)
{
    if (starts(head, 0, "\x1f\x8b", 2))
        return "it is compressed: unpack it with gunzip first";
    if (starts(head, 0x202, "HdrS", 4))
        return "it is an x86 bzImage";
    if (starts(head, 0,
               "\x7f"
               "ELF",
               4))
        return "it is an ELF file: use arch/arm64/boot/Image, not vmlinux";
    if (starts(head, 0x24, "\x18\x28\x6f\x01", 4))
        return "it is a 32-bit Arm zImage";
    return "use arch/arm64/boot/Image of a kernel's build, or what Debian calls /boot/vmlinuz of arm64";
}

/* The file's length by its PE section table and its signature; 0: it is no PE file, or one that we cannot follow. */
static uint64_t pe_length(const struct head *head)
{
    uint64_t at, sections, table, length = 0;

    if (!starts(head, 0, "MZ", 2) || head->size < 0x40)
        return 0;
    at = little(head->data + 0x3c, 4);
    if (at > HEAD - 24 || !starts(head, at, "PE\0\0", 4))
        return 0;
    sections = little(head->data + at + 6, 2);
    table = at + 24 + little(head->data + at + 20, 2);
    for (uint64_t i = 0; i < sections && i < PE_SECTIONS && table + 40 * (i + 1) <= head->size; i++) {
        const uint8_t *section = head->data + table + 40 * i;
        uint64_t end = little(section + 20, 4) + little(section + 16, 4);

        if (end > length)
            length = end;
    }
    at += 24 + 112 + 4 * 8; /* a PE32+ header's data directory 4: certificates, behind everything */
    if (at + 8 <= table && at + 8 <= head->size && little(head->data + at, 4) != 0 &&
        little(head->data + at, 4) + little(head->data + at + 4, 4) > length)
        length = little(head->data + at, 4) + little(head->data + at + 4, 4);
    return length;
}

/* The memory that the kernel needs from the start of its memory on; 0: reported. */
static uint64_t check_kernel(struct bh_draft *draft, uint32_t index)
{
    const struct bh_diag_where *where = &draft->domains[index].kernel_at;
    const char *path = draft->plan->domains[index].kernel;
    struct head head;
    uint64_t need;

    if (!read_head(draft, where, "the kernel", path, &head))
        return 0;
    if (head.size < 64 || !starts(&head, 56, "ARM\x64", 4)) { /* Linux, Documentation/arm64/booting.rst */
        bh_report_error(draft->report, where, NULL, other_kernel(&head), "the kernel %s is no arm64 Image",
                        path);
        return 0;
    }
    if (head.file_size < pe_length(&head)) {
        bh_report_error(draft->report, where, NULL, "copy or fetch it again",
                        "the kernel %s is truncated: it has %" PRIu64 " of its %" PRIu64 " bytes", path,
                        head.file_size, pe_length(&head));
        return 0;
    }
    need = little(head.data + 16, 8);
    if (need < head.file_size)
        need = head.file_size;
    return need > (uint64_t)INT64_MAX / 4 ? (uint64_t)INT64_MAX / 4
                                          : need + (little(head.data + 8, 8) & 0x1fffff);
}

static uint64_t ramdisk_size(const struct bh_plan_domain *domain)
{
    struct stat status;

    return domain->ramdisk == NULL || stat(domain->ramdisk, &status) < 0 ? 0 : (uint64_t)status.st_size;
}

void bh_check_kernels(struct bh_draft *draft)
{
    for (uint32_t i = 0; i < draft->plan->domain_count; i++) {
        const struct bh_plan_domain *domain = &draft->plan->domains[i];
        uint64_t kernel = domain->kernel == NULL ? 0 : check_kernel(draft, i), ramdisk = ramdisk_size(domain);

        if (kernel != 0 && domain->memory_count != 0 &&
            domain->memory_size / 4 < (kernel + ramdisk + FDT_ROOM) / 4 &&
            domain->memory_size < kernel + ramdisk + FDT_ROOM)
            bh_report_error(
                draft->report, &draft->domains[i].memory_at, &draft->domains[i].kernel_at,
                "give the domain more memory",
                "%s has %" PRIu64 " KiB of memory; its kernel, ramdisk and device tree need %" PRIu64,
                domain->node, domain->memory_size >> 10, (kernel + ramdisk + FDT_ROOM + 1023) >> 10);
    }
}

static bool is_ramdisk(const struct head *head)
{
    static const struct {
        const char *bytes;
        size_t count;
    } magics[] = {{"070701", 6},
                  {"070702", 6},
                  {"\x1f\x8b", 2},
                  {"\xfd"
                   "7zXZ",
                   5},
                  {"BZh", 3},
                  {"\x28\xb5\x2f\xfd", 4},
                  {"\x02\x21\x4c\x18", 4},
                  {"\x5d\0\0", 3},
                  {"\x89LZO", 4}};

    for (size_t i = 0; i < sizeof(magics) / sizeof(*magics); i++) {
        if (starts(head, 0, magics[i].bytes, magics[i].count))
            return true;
    }
    return false;
}

void bh_check_ramdisks(struct bh_draft *draft)
{
    for (uint32_t i = 0; i < draft->plan->domain_count; i++) {
        const struct bh_plan_domain *domain = &draft->plan->domains[i];
        struct head head;

        if (domain->ramdisk == NULL ||
            !read_head(draft, &draft->domains[i].ramdisk_at, "the ramdisk", domain->ramdisk, &head))
            continue;
        if (!is_ramdisk(&head))
            bh_report_error(draft->report, &draft->domains[i].ramdisk_at, NULL,
                            "a ramdisk is a cpio archive (newc), plain or compressed",
                            "the ramdisk %s is no cpio archive", domain->ramdisk);
    }
}

static void check_disk(struct bh_draft *draft, const struct bh_draft_device *from)
{
    struct stat status;
    int error = stat(from->image, &status) < 0 ? errno : 0;

    if (error == ENOENT && from->create_size != 0)
        return;
    if (error != 0) {
        bh_report_error(draft->report, &from->image_at, NULL,
                        error == EACCES ? missing_hint(draft, from->image, error)
                                        : "add bulkhead,create-size = \"64M\"; to have an empty one made, or "
                                          "correct the path",
                        "the image %s: %s", from->image, strerror(error));
        return;
    }
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        bh_report_error(draft->report, &from->image_at, NULL, NULL,
                        "the image %s is neither a file nor a block device", from->image);
    else if (S_ISREG(status.st_mode) && (status.st_size == 0 || status.st_size % 512 != 0))
        bh_report_error(draft->report, &from->image_at, NULL,
                        "a disk is a whole number of 512-byte sectors: copy or make it again",
                        "the image %s is truncated: it has %" PRIu64 " bytes", from->image,
                        (uint64_t)status.st_size);
    else if (access(from->image, from->read_only ? R_OK : R_OK | W_OK) < 0)
        bh_report_error(draft->report, &from->image_at, NULL,
                        from->read_only ? "change its mode" : "change its mode, or make the disk read-only",
                        "the image %s: %s", from->image, strerror(errno));
}

void bh_check_disks(struct bh_draft *draft)
{
    for (uint32_t i = 0; i < draft->plan->device_count; i++) {
        if (draft->devices[i].image != NULL)
            check_disk(draft, &draft->devices[i]);
    }
}

struct use {
    char *key; /* the file's identity: two names of one file are one file */
    const struct bh_draft_device *device;
};

static int by_file(const void *left, const void *right)
{
    const struct use *a = left, *b = right;
    int keys = strcmp(a->key, b->key);

    return keys != 0 ? keys : a->device < b->device ? -1 : a->device > b->device;
}

static void check_users(struct bh_draft *draft, const struct use *uses, size_t count)
{
    const struct bh_draft_device *writer = NULL;

    for (size_t i = 0; i < count && writer == NULL; i++)
        writer = uses[i].device->read_only ? NULL : uses[i].device;
    for (size_t i = 0; writer != NULL && i < count; i++) {
        const struct bh_draft_device *user = uses[i].device;

        if (user == writer)
            continue;
        bh_report_error(draft->report, user > writer ? &user->image_at : &writer->image_at,
                        user > writer ? &writer->image_at : &user->image_at,
                        "give each an image of its own, or make all of them read-only",
                        "the image %s is %s by %s, and written by %s", user->image,
                        user->read_only ? "read" : "written", user->node->path, writer->node->path);
    }
}

void bh_check_writers(struct bh_draft *draft)
{
    struct use *uses = bh_check_room(draft, draft->plan->device_count, sizeof(*uses));
    size_t count = 0, first = 0;

    for (uint32_t i = 0; uses != NULL && i < draft->plan->device_count; i++) {
        const struct bh_draft_device *device = &draft->devices[i];
        struct stat status;

        if (device->image == NULL)
            continue;
        if (stat(device->image, &status) == 0)
            uses[count].key =
                bh_arena_format(&draft->arena, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
        else
            uses[count].key = bh_arena_string(&draft->arena, device->image);
        if (uses[count].key != NULL)
            uses[count++].device = device;
    }
    if (uses != NULL)
        qsort(uses, count, sizeof(*uses), by_file);
    for (size_t i = 1; i <= count; i++) {
        if (i < count && strcmp(uses[i].key, uses[first].key) == 0)
            continue;
        check_users(draft, &uses[first], i - first);
        first = i;
    }
}
