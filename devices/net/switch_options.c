/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a switch, the words of its ports, and how a port's text is taken apart. */
#include "devices/net/switch_options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define VLAN_MIN 1u
#define VLAN_MAX 4094u

/* --- values with rules of their own ------------------------------------------------------------------------ */

/* VLANs joined by '+', each handed to `port` (NULL: to nobody). */
static bool read_trunk(const char *text, struct bh_switch_port *port)
{
    char *end;

    do {
        const unsigned long vlan = strtoul(text, &end, 10);
        if (end == text || vlan < VLAN_MIN || vlan > VLAN_MAX)
            return false;
        if (port)
            bh_switch_trunk(port, (unsigned)vlan);
        text = end + 1;
    } while (*end == '+');
    return *end == '\0';
}

static int check_trunk(const char *text, struct bh_diag_sink *sink, const struct bh_diag_where *where)
{
    if (read_trunk(text, NULL))
        return BH_OK;
    bh_error(sink, where, "VLANs from 1 to 4094, joined by +: trunk=10+20",
             "trunk: \"%s\" is no list of VLANs", text);
    return BH_ERR_INVAL;
}

static bool read_rate(const char *text, uint64_t *rate)
{
    static const char units[] = "KMG";
    char *end;
    const unsigned long long number = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;

    *rate = number;
    for (const char *u = units; unit && u <= unit; u++)
        *rate *= 1000u;
    return end != text && number >= 1 && number <= 1000000000u && (!*end || (unit && !end[1]));
}

static int check_rate(const char *text, struct bh_diag_sink *sink, const struct bh_diag_where *where)
{
    uint64_t rate;

    if (read_rate(text, &rate))
        return BH_OK;
    bh_error(sink, where, "bytes a second, with K, M or G of 1000: rate=10M", "rate: \"%s\" is no rate",
             text);
    return BH_ERR_INVAL;
}

static const char any[] = "any";

/* Addresses joined by '+'. */
static bool read_macs(const char *text, uint8_t macs[BH_SWITCH_PORT_MACS][6], unsigned *count)
{
    *count = 0;
    for (;; text++) {
        if (*count == BH_SWITCH_PORT_MACS)
            return false;
        for (unsigned i = 0; i < 6; i++) {
            char *end;
            if (i && *text++ != ':')
                return false;
            if (!isxdigit((unsigned char)*text))
                return false;
            const unsigned long byte = strtoul(text, &end, 16);
            if (end != text + 2)
                return false;
            macs[*count][i] = (uint8_t)byte;
            text = end;
        }
        if (macs[(*count)++][0] & 1u) /* a group's */
            return false;
        if (*text != '+')
            return *text == '\0';
    }
}

static int check_macs(const char *text, struct bh_diag_sink *sink, const struct bh_diag_where *where)
{
    uint8_t macs[BH_SWITCH_PORT_MACS][6];
    unsigned count;

    if (!strcmp(text, any) || read_macs(text, macs, &count))
        return BH_OK;
    bh_error(sink, where, "up to 16 addresses, joined by +: mac=02:00:00:00:00:01; or mac=any",
             "mac: \"%s\" is no list of MAC addresses", text);
    return BH_ERR_INVAL;
}

static int check_place(const char *text, struct bh_diag_sink *sink, const struct bh_diag_where *where)
{
    struct bh_switch_place place;
    const int err = bh_switch_place_read(&place, text, sink, where);

    bh_switch_place_fini(&place);
    return err;
}

/* --- the tables -------------------------------------------------------------------------------------------- */

#define AT(member) offsetof(struct bh_switch_values, member)
const struct bh_option bh_switch_options[] = {
    {.name = "port",
     .type = BH_OPT_LIST,
     .offset = AT(ports),
     .check = check_place,
     .arg = "link:PATH|tap:NAME[,WORD=VALUE...]",
     .help = "A port, with its words"},
    {.name = "age",
     .type = BH_OPT_UINT,
     .offset = AT(age_s),
     .def = "300",
     .unit = "s",
     .min = 1,
     .max = 1000000,
     .help = "Forget addresses that were not seen for so long"},
    {.name = "mtu",
     .type = BH_OPT_UINT,
     .offset = AT(mtu),
     .def = "1500",
     .unit = "bytes",
     .min = 576,
     .max = 65500,
     .help = "Largest packet"},
    {.name = "capture",
     .type = BH_OPT_PATH,
     .offset = AT(capture),
     .help = "Write all frames that come in to this file, as pcap"},
    {.name = "capture-limit",
     .type = BH_OPT_SIZE,
     .offset = AT(capture_limit),
     .def = "64M",
     .help = "Size of that file at most"},
    {.name = NULL},
};
#undef AT

#define AT(member) offsetof(struct bh_switch_words, member)
const struct bh_option bh_switch_words[] = {
    {.name = "name",
     .type = BH_OPT_STRING,
     .offset = AT(name),
     .help = "What the port is called where it is counted; else link:PATH or tap:NAME"},
    {.name = "vlan",
     .type = BH_OPT_UINT,
     .offset = AT(vlan),
     .def = "1",
     .min = VLAN_MIN,
     .max = VLAN_MAX,
     .arg = "N",
     .help = "The VLAN of its frames without a tag"},
    {.name = "trunk",
     .type = BH_OPT_STRING,
     .offset = AT(trunk),
     .check = check_trunk,
     .arg = "N+N...",
     .help = "The VLANs of its frames with a tag"},
    {.name = "rate",
     .type = BH_OPT_STRING,
     .offset = AT(rate),
     .check = check_rate,
     .arg = "N",
     .help = "Bytes a second that it may send, with K, M or G of 1000"},
    {.name = "mac",
     .type = BH_OPT_STRING,
     .offset = AT(mac),
     .check = check_macs,
     .arg = "MAC+MAC...|any",
     .help = "The addresses that it, and nobody else in its VLANs, may send from; any: all that are no other "
             "port's own"},
    {.name = NULL},
};
#undef AT

/* --- a port's text ----------------------------------------------------------------------------------------- */

static int read_word(struct bh_switch_words *words, char *word, struct bh_diag_sink *sink,
                     const struct bh_diag_where *where)
{
    char *value = strchr(word, '=');

    if (!value) {
        bh_error(sink, where, "for example vlan=10", "port: \"%s\" is no WORD=VALUE", word);
        return BH_ERR_INVAL;
    }
    *value++ = '\0';
    return bh_option_set(bh_switch_words, words, word, value, sink, where);
}

static bool is_place(const char *text)
{
    return (!strncmp(text, "link:", 5) && text[5]) || (!strncmp(text, "tap:", 4) && text[4]);
}

int bh_switch_place_read(struct bh_switch_place *to, const char *text, struct bh_diag_sink *sink,
                         const struct bh_diag_where *where)
{
    char *rest, *word;
    int err;

    *to = (struct bh_switch_place){.place = strdup(text)};
    err = to->place ? bh_options_init(bh_switch_words, &to->words) : BH_ERR_NOMEM;
    if (err)
        return err;
    rest = to->place;
    (void)strsep(&rest, ",");
    if (!is_place(to->place)) {
        bh_error(sink, where, "it begins with link:PATH or tap:NAME", "port: cannot read \"%s\"", text);
        return BH_ERR_INVAL;
    }
    while (!err && (word = strsep(&rest, ",")))
        err = read_word(&to->words, word, sink, where);
    return err;
}

void bh_switch_place_fini(struct bh_switch_place *place)
{
    bh_options_fini(bh_switch_words, &place->words);
    free(place->place);
    place->place = NULL;
}

void bh_switch_words_apply(const struct bh_switch_words *words, struct bh_switch_port *port)
{
    port->vlan = (uint16_t)words->vlan;
    if (words->trunk)
        (void)read_trunk(words->trunk, port);
    if (words->rate)
        (void)read_rate(words->rate, &port->rate);
    if (words->mac && strcmp(words->mac, any) != 0)
        (void)read_macs(words->mac, port->macs, &port->mac_count);
}
