/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sysfs says of a block device. Linux shows limits in `queue`, which a partition shares with its disk, and wear
 * where the driver put it: eMMC beside the disk, UFS at the host controller above it.
 *
 * #syscalls pread64
 */
#include "devices/blk/host_disk.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Where the kernel has to write zeros itself, it is kept to what a disk writes in a moment. */
#define WRITTEN_ZEROES_MAX (16u << 20)

static const struct {
    const char *name;
    unsigned at;
} wear[][3] = {
    {{"device/pre_eol_info", 0}, {"device/life_time", 0}, {"device/life_time", 1}}, /* eMMC */
    {{"device/../../../health_descriptor/eol_info", 0}, /* UFS: LUN, target, host, controller */
     {"device/../../../health_descriptor/life_time_estimation_a", 0},
     {"device/../../../health_descriptor/life_time_estimation_b", 0}},
};

/* A file of the disk, or of the disk that the partition is on. */
static int open_attribute(int sysfs, const char *name)
{
    char above[128];
    int fd = openat(sysfs, name, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        snprintf(above, sizeof(above), "../%s", name);
        fd = openat(sysfs, above, O_RDONLY | O_CLOEXEC);
    }
    return fd;
}

/* Number `at` of those in the file, decimal or 0x hex. 0 or -errno. */
static int read_number(int fd, unsigned at, uint64_t *number)
{
    char text[64], *next = text, *end;
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);

    if (got < 0)
        return -errno;
    text[got] = '\0';
    for (unsigned i = 0; i <= at; i++, next = end) {
        *number = strtoull(next, &end, 0);
        if (end == next)
            return -EINVAL;
    }
    return 0;
}

/* 0 where the host does not tell it. */
static uint64_t limit(int sysfs, const char *name)
{
    int fd = open_attribute(sysfs, name);
    uint64_t number = 0;

    if (fd < 0)
        return 0;
    if (read_number(fd, 0, &number) != 0)
        number = 0;
    close(fd);
    return number;
}

/* A range that no disk takes, to see which error comes first: "not here", or "not like this". */
static bool has_secure_erase(int fd)
{
    uint64_t crooked[2] = {1, 1};

    return fd >= 0 && ioctl(fd, BLKSECDISCARD, crooked) != 0 && errno == EINVAL;
}

static void open_wear(struct bh_host_disk *disk, int sysfs)
{
    for (unsigned kind = 0; kind < BH_COUNT(wear) && disk->life[0] < 0; kind++) {
        bool whole = true;
        for (unsigned i = 0; i < BH_COUNT(disk->life); i++) {
            disk->life[i] = open_attribute(sysfs, wear[kind][i].name);
            disk->life_at[i] = wear[kind][i].at;
            whole &= disk->life[i] >= 0;
        }
        if (!whole)
            bh_host_disk_close(disk);
    }
}

void bh_host_disk_open(struct bh_host_disk *disk, int sysfs, int fd, struct bh_store_info *info)
{
    bh_host_disk_none(disk);
    if (sysfs < 0)
        return;
    const uint64_t granularity = limit(sysfs, "queue/discard_granularity");
    info->max_discard = limit(sysfs, "queue/discard_max_bytes");
    info->can_discard = !info->read_only && info->max_discard > 0;
    info->max_write_zeroes = limit(sysfs, "queue/write_zeroes_max_bytes");
    if (info->max_write_zeroes == 0)
        info->max_write_zeroes = WRITTEN_ZEROES_MAX;
    info->can_secure_erase = !info->read_only && has_secure_erase(fd);
    if (granularity >= info->block_size && granularity <= UINT32_MAX)
        info->discard_granularity = info->erase_granularity = (uint32_t)granularity;
    open_wear(disk, sysfs);
    info->has_lifetime = disk->life[0] >= 0;
}

void bh_host_disk_none(struct bh_host_disk *disk)
{
    for (unsigned i = 0; i < BH_COUNT(disk->life); i++)
        disk->life[i] = -1;
}

void bh_host_disk_close(struct bh_host_disk *disk)
{
    for (unsigned i = 0; i < BH_COUNT(disk->life); i++) {
        if (disk->life[i] >= 0)
            close(disk->life[i]);
    }
    bh_host_disk_none(disk);
}

int bh_host_disk_lifetime(const struct bh_host_disk *disk, struct virtio_blk_lifetime *lifetime)
{
    static const uint64_t most[3] = {VIRTIO_BLK_PRE_EOL_INFO_MAX, VIRTIO_BLK_LIFETIME_EST_MAX,
                                     VIRTIO_BLK_LIFETIME_EST_MAX};
    uint64_t number[3] = {0};

    for (unsigned i = 0; i < BH_COUNT(number); i++) {
        int err = read_number(disk->life[i], disk->life_at[i], &number[i]);
        if (err)
            return err;
        if (number[i] > most[i])
            number[i] = 0;
    }
    lifetime->pre_eol_info = bh_le16_of((uint16_t)number[0]);
    lifetime->device_lifetime_est_typ_a = bh_le16_of((uint16_t)number[1]);
    lifetime->device_lifetime_est_typ_b = bh_le16_of((uint16_t)number[2]);
    return 0;
}
