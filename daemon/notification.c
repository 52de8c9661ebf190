/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of sd_notify's datagrams.
 */
#include "daemon/notification.h"

#include <bulkhead/impl/text.h>
#include <string.h>

bool bh_fd_name_is_valid(const char *name, size_t length)
{
    if (!length || length > BH_FD_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (name[i] < ' ' || name[i] > '~' || name[i] == ':')
            return false;
    return true;
}

/* The value of `key` ("STATUS=") in a line; NULL: the line is another's. */
static const char *value_of(const char *line, size_t length, const char *key, size_t *value_length)
{
    const size_t key_length = strlen(key);
    if (length < key_length || memcmp(line, key, key_length) != 0)
        return NULL;
    *value_length = length - key_length;
    return line + key_length;
}

static bool is_set(const char *line, size_t length, const char *key)
{
    size_t value_length;
    const char *value = value_of(line, length, key, &value_length);
    return value && value_length == 1 && *value == '1';
}

/* What is not printable ASCII could be more than text where it is shown. */
static void take_status(struct bh_notification *n, const char *text, size_t length)
{
    if (length > BH_STATUS_MAX)
        length = BH_STATUS_MAX;
    memcpy(n->status, text, length);
    bh_text_clean_ascii(n->status, length);
    n->status[length] = 0;
    n->has_status = true;
}

static void take_name(struct bh_notification *n, const char *text, size_t length)
{
    n->bad_name = !bh_fd_name_is_valid(text, length);
    n->has_name = !n->bad_name;
    if (n->bad_name)
        length = 0;
    memcpy(n->name, text, length);
    n->name[length] = 0;
}

static void take_line(struct bh_notification *n, const char *line, size_t length)
{
    const char *value;
    size_t value_length;
    if (is_set(line, length, "READY="))
        n->ready = true;
    else if (is_set(line, length, "STOPPING="))
        n->stopping = true;
    else if (is_set(line, length, "FDSTORE="))
        n->store = true;
    else if (is_set(line, length, "FDSTOREREMOVE="))
        n->remove = true;
    else if ((value = value_of(line, length, "STATUS=", &value_length)))
        take_status(n, value, value_length);
    else if ((value = value_of(line, length, "FDNAME=", &value_length)))
        take_name(n, value, value_length);
}

void bh_notification_parse(struct bh_notification *notification, const char *text, size_t length)
{
    memset(notification, 0, sizeof(*notification));
    while (length) {
        const char *end = memchr(text, '\n', length);
        const size_t line = end ? (size_t)(end - text) : length;
        take_line(notification, text, line);
        text += line + (end != NULL);
        length -= line + (end != NULL);
    }
}
