/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading port forwards and subnets.
 */
#include "devices/net/slirp_forward.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_port(const char *text, unsigned *port)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end || value == 0 || value > 65535)
        return BH_ERR_SYNTAX;
    *port = (unsigned)value;
    return BH_OK;
}

int bh_forward_parse(const char *text, struct bh_forward *forward)
{
    char copy[96];
    char *word[5], *rest = copy, *next;
    unsigned count = 0, i = 1;

    if (strlen(text) >= sizeof(copy))
        return BH_ERR_SYNTAX;
    snprintf(copy, sizeof(copy), "%s", text);
    while ((next = strsep(&rest, ":"))) {
        if (count == 5)
            return BH_ERR_SYNTAX;
        word[count++] = next;
    }
    if (count < 3)
        return BH_ERR_SYNTAX;
    *forward = (struct bh_forward){.udp = strcmp(word[0], "udp") == 0, .host.s_addr = htonl(INADDR_LOOPBACK)};
    if (!forward->udp && strcmp(word[0], "tcp") != 0)
        return BH_ERR_SYNTAX;
    if (strchr(word[i], '.') && inet_pton(AF_INET, word[i++], &forward->host) != 1)
        return BH_ERR_SYNTAX;
    if (i >= count || parse_port(word[i++], &forward->host_port) != BH_OK || i >= count)
        return BH_ERR_SYNTAX;
    if (strchr(word[i], '.') && inet_pton(AF_INET, word[i++], &forward->guest) != 1)
        return BH_ERR_SYNTAX;
    if (i + 1 != count)
        return BH_ERR_SYNTAX;
    return parse_port(word[i], &forward->guest_port);
}

int bh_subnet_parse(const char *text, struct in_addr *net, struct in_addr *mask)
{
    char copy[32];
    const char *slash = strchr(text, '/');
    unsigned bits;

    if (!slash || (size_t)(slash - text) >= sizeof(copy) || parse_port(slash + 1, &bits) != BH_OK ||
        bits < 8 || bits > 28)
        return BH_ERR_SYNTAX;
    memcpy(copy, text, (size_t)(slash - text));
    copy[slash - text] = '\0';
    mask->s_addr = htonl(0xffffffffu << (32 - bits));
    if (inet_pton(AF_INET, copy, net) != 1 || (net->s_addr & ~mask->s_addr))
        return BH_ERR_SYNTAX;
    return BH_OK;
}
