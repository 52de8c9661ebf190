/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user front-end's beginning: a driver's steps until its device is live.
 */
#include "driver/vhost_front.h"

#include <bulkhead/device.h>

#define STATUS_BEFORE (BH_STATUS_ACKNOWLEDGE | BH_STATUS_DRIVER)

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
