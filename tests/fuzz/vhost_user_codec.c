/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user parser on any bytes: 12 of header, then a payload of which there is exactly as much as the header
 * says (a sanitizer sees a read past it), then one byte for the number of fds.
 */
#include "transports/vhost_user/codec.h"

#include "tests/fuzz/target.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vhost_user_header header;
    struct bh_vu_message message;
    const char *why = NULL;
    uint8_t *payload;
    if (size < sizeof(header) + 1)
        return 0;
    if (bh_vu_decode_header(data, &header, &why)) {
        BH_ASSERT(why);
        return 0;
    }
    BH_ASSERT(header.size <= BH_VU_PAYLOAD_MAX);
    payload = calloc(1, header.size ? header.size : 1);
    BH_ASSERT(payload);
    size -= sizeof(header) + 1;
    memcpy(payload, data + sizeof(header) + 1, size < header.size ? size : header.size);
    if (bh_vu_decode(&header, payload, data[sizeof(header)] % (BH_VU_FDS_MAX + 1), &message, &why) == BH_OK) {
        /* What the handlers rely on. */
        BH_ASSERT(bh_vu_request_name(message.request));
        if (message.request == VHOST_USER_SET_MEM_TABLE)
            BH_ASSERT(message.table.region_count <= BH_VU_FDS_MAX &&
                      message.fd_count == message.table.region_count);
        if (message.request == VHOST_USER_GET_CONFIG || message.request == VHOST_USER_SET_CONFIG)
            BH_ASSERT(message.config.head.size <= VHOST_USER_CONFIG_MAX);
        if (message.request == VHOST_USER_ADD_MEM_REG || message.request == VHOST_USER_SET_BACKEND_REQ_FD)
            BH_ASSERT(message.fd_count == 1);
    } else {
        BH_ASSERT(why);
    }
    free(payload);
    return 0;
}
