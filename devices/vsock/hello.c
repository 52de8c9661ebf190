/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing of the line that opens a connection.
 */
#include "devices/vsock/hello.h"

#include <string.h>
#include <strings.h>

struct cursor {
    const char *at;
    size_t left;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_space(struct cursor *c)
{
    while (c->left > 0 && is_space(*c->at)) {
        c->at++;
        c->left--;
    }
}

static bool word(struct cursor *c, const char *text)
{
    size_t len = strlen(text);

    skip_space(c);
    if (c->left < len || strncasecmp(c->at, text, len) != 0 || (c->left > len && !is_space(c->at[len])))
        return false;
    c->at += len;
    c->left -= len;
    return true;
}

static bool number(struct cursor *c, uint32_t *value)
{
    uint64_t sum = 0;
    size_t digits = 0;

    skip_space(c);
    while (digits < c->left && c->at[digits] >= '0' && c->at[digits] <= '9' && sum <= UINT32_MAX)
        sum = sum * 10 + (uint64_t)(c->at[digits++] - '0');
    if (digits == 0 || sum > UINT32_MAX || (digits < c->left && !is_space(c->at[digits])))
        return false;
    c->at += digits;
    c->left -= digits;
    *value = (uint32_t)sum;
    return true;
}

static bool ends(struct cursor *c)
{
    skip_space(c);
    return c->left == 0;
}

int bh_vsock_hello_parse(const char *line, size_t len, bool sibling, struct bh_vsock_hello *hello)
{
    struct cursor c = {line, len};

    *hello = (struct bh_vsock_hello){0};
    if (!word(&c, "CONNECT") || !number(&c, &hello->port))
        return BH_ERR_SYNTAX;
    if (sibling) {
        if (!word(&c, "FROM") || !number(&c, &hello->from))
            return BH_ERR_SYNTAX;
        hello->seqpacket = word(&c, "seqpacket");
        if (!hello->seqpacket && !word(&c, "stream"))
            return BH_ERR_SYNTAX;
    }
    return ends(&c) ? BH_OK : BH_ERR_SYNTAX;
}

bool bh_vsock_hello_accepted(const char *line, size_t len)
{
    struct cursor c = {line, len};
    uint32_t port;

    return word(&c, "OK") && number(&c, &port) && ends(&c);
}
