/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The option `features`: the words for ring features that a user may take away, for a front-end, a driver or a test
 * that wants less; and the one that is offered only when it is asked for, since front-ends without an IOMMU would let a
 * driver choose it.
 */
#include "programs/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned bit;
} words[] = {
    /* QEMU's names of the same bits, without "virtio-" and its properties' dashes. */
    {"indirect_desc", BH_F_INDIRECT_DESC}, {"event_idx", BH_F_EVENT_IDX},   {"packed", BH_F_RING_PACKED},
    {"in_order", BH_F_IN_ORDER},           {"ring_reset", BH_F_RING_RESET},
};

/* A word of ours or a bit's number; the bit, or -1. */
static int find(const char *word)
{
    char *end;
    unsigned long bit;
    for (size_t i = 0; i < BH_COUNT(words); i++)
        if (!strcmp(word, words[i].name))
            return (int)words[i].bit;
    bit = strtoul(word, &end, 10);
    return word[0] >= '0' && word[0] <= '9' && !*end && bit < (unsigned long)BH_FEATURE_BITS &&
                   bit != BH_F_VERSION_1
               ? (int)bit
               : -1;
}

struct bh_features bh_features_default_withheld(void)
{
    struct bh_features withheld = {{0}};
    bh_features_set(&withheld, BH_F_ACCESS_PLATFORM);
    return withheld;
}

static void refuse(const char *word, struct bh_diag_sink *sink, const struct bh_diag_where *where)
{
    const char *names[BH_COUNT(words)];
    const char *near;
    char hint[256];
    int used;
    for (size_t i = 0; i < BH_COUNT(words); i++)
        names[i] = words[i].name;
    near = bh_did_you_mean(word[0] == '-' ? word + 1 : word, names, BH_COUNT(words));
    if (near) {
        snprintf(hint, sizeof(hint), "did you mean -%s?", near);
    } else {
        used = snprintf(hint, sizeof(hint),
                        "it takes words like -packed or -24, with commas between; words are");
        for (size_t i = 0; i < BH_COUNT(words) && used > 0 && (size_t)used < sizeof(hint); i++)
            used += snprintf(hint + used, sizeof(hint) - (size_t)used, " %s", words[i].name);
    }
    bh_error(sink, where, hint, "%sfeatures: '%s' takes no feature away", where ? "" : "--", word);
}

/* The first word that is no feature, in `copy`, which is cut into words; NULL: all are, and stand in `withheld`. */
static const char *read_words(char *copy, struct bh_features *withheld)
{
    char *word;
    *withheld = bh_features_default_withheld();
    while ((word = strsep(&copy, ",")) != NULL) {
        const int bit = word[0] == '-' ? find(word + 1) : -1;
        if (!strcmp(word, "+access_platform")) {
            withheld->word[BH_F_ACCESS_PLATFORM / 32] &= ~(1u << BH_F_ACCESS_PLATFORM % 32);
            continue;
        }
        if (bit < 0)
            return word;
        bh_features_set(withheld, (unsigned)bit);
    }
    return NULL;
}

int bh_features_parse(const char *text, struct bh_features *withheld)
{
    char *copy = strdup(text);
    int err = !copy ? BH_ERR_NOMEM : read_words(copy, withheld) ? BH_ERR_INVAL : BH_OK;
    free(copy);
    return err;
}

int bh_features_check(const char *text, struct bh_diag_sink *sink, const struct bh_diag_where *where)
{
    struct bh_features withheld;
    char *copy = strdup(text);
    const char *wrong = copy ? read_words(copy, &withheld) : NULL;
    int err = !copy ? BH_ERR_NOMEM : wrong ? BH_ERR_INVAL : BH_OK;
    if (wrong)
        refuse(wrong, sink, where);
    free(copy);
    return err;
}
