/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user front-end's beginning: finding a back-end, and a driver's steps until its device is live.
 */
#include "driver/vhost_front.h"

#include <bulkhead/device.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define STATUS_BEFORE (BH_STATUS_ACKNOWLEDGE | BH_STATUS_DRIVER)

int bh_vhost_front_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, why;

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    why = errno;
    if (fd >= 0)
        close(fd);
    errno = why;
    return -1;
}

int bh_vhost_front_negotiate(struct bh_vhost_front *front, const struct bh_features *features)
{
    uint8_t status;
    int err = bh_vhost_front_set_status(front, STATUS_BEFORE);

    if (err && err != BH_ERR_UNSUPPORTED)
        return err;
    if (err == BH_ERR_UNSUPPORTED)
        return bh_vhost_front_set_features(front, features);
    err = bh_vhost_front_set_features(front, features);
    if (!err)
        err = bh_vhost_front_set_status(front, STATUS_BEFORE | BH_STATUS_FEATURES_OK);
    if (!err)
        err = bh_vhost_front_get_status(front, &status);
    return err ? err : status & BH_STATUS_FEATURES_OK ? BH_OK : BH_ERR_INVAL;
}

int bh_vhost_front_driver_ok(struct bh_vhost_front *front)
{
    int err = bh_vhost_front_set_status(front, STATUS_BEFORE | BH_STATUS_FEATURES_OK | BH_STATUS_DRIVER_OK);

    return err == BH_ERR_UNSUPPORTED ? BH_OK : err;
}
