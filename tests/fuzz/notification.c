/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device process says of itself by sd_notify's protocol: the process parses guest data, so that whoever broke
 * it speaks here. The input is one datagram. What is accepted must have the form that the daemon counts on.
 */
#include "daemon/notification.h"
#include "tests/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bh_notification said;
    char *text = malloc(size + 1); /* of exactly its size, so that reading on is seen */
    if (!text)
        return 0;
    memcpy(text, data, size);
    bh_notification_parse(&said, text, size);
    free(text);
    if (said.has_name != bh_fd_name_is_valid(said.name, strlen(said.name)) ||
        (said.has_name && said.bad_name))
        abort();
    for (const char *c = said.status; *c; c++)
        if (*c < ' ' || *c > '~')
            abort();
    if (!said.has_status && said.status[0])
        abort();
    return 0;
}
