/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See choice.h.
 */
#include "bench/choice.h"

#include <bulkhead/impl/diag.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RING_SPLIT, RING_PACKED };
enum { WAIT_SLEEP, WAIT_POLL };
enum { WITHOUT_EVENT_IDX, WITHOUT_INDIRECT, WITHOUT_IN_ORDER };
static const char *const ring_words[] = {"split", "packed", NULL};
static const char *const wait_words[] = {"sleep", "poll", NULL};
static const char *const without_words[] = {"event_idx", "indirect", "in_order", NULL};
static const char *const store_words[] = {"null", "ram", "file", "disk", NULL};

/* The next word of a list with commas; false: there is none left. */
static bool next_word(const char **list, char *word, size_t size)
{
    const size_t len = *list ? strcspn(*list, ",") : 0;

    if (!*list || (len == 0 && **list == '\0'))
        return false;
    snprintf(word, size, "%.*s", (int)len, *list);
    *list += len + ((*list)[len] == ',');
    return true;
}

static int read_words(const char *option, const char *list, const char *const *known, uint32_t *set)
{
    char word[32];

    while (next_word(&list, word, sizeof(word))) {
        char hint[80] = "it takes";
        unsigned i = 0;

        while (known[i] && strcmp(known[i], word) != 0)
            i++;
        if (known[i]) {
            *set |= 1u << i;
            continue;
        }
        for (i = 0; known[i]; i++)
            snprintf(hint + strlen(hint), sizeof(hint) - strlen(hint), "%s %s", i ? "," : "", known[i]);
        bh_error(NULL, NULL, hint, "--%s knows no \"%s\"", option, word);
        return BH_ERR_INVAL;
    }
    return BH_OK;
}

/* Digits, with K or M behind them where `sizes`. */
static bool read_number(const char *word, bool sizes, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoull(word, &end, 10);
    if (errno || end == word || word[0] == '-')
        return false;
    if (sizes && (*end == 'K' || *end == 'M'))
        *number <<= *end++ == 'K' ? 10 : 20;
    return *end == '\0';
}

static int read_numbers(const char *option, const char *list, uint64_t least, uint64_t most, bool sizes,
                        struct bench_numbers *numbers)
{
    char word[32];

    while (next_word(&list, word, sizeof(word))) {
        uint64_t number;

        if (!read_number(word, sizes, &number)) {
            bh_error(NULL, NULL, NULL, "--%s: \"%s\" is no number", option, word);
            return BH_ERR_INVAL;
        }
        if (number < least || number > most || numbers->count == BENCH_LIST) {
            bh_error(NULL, NULL, "at most 8 of them", "--%s takes numbers from %llu to %llu", option,
                     (unsigned long long)least, (unsigned long long)most);
            return BH_ERR_RANGE;
        }
        numbers->number[numbers->count++] = number;
    }
    return BH_OK;
}

int bench_choice_read(struct bench_choice *choice, const struct bench_options *options)
{
    int err;

    *choice = (struct bench_choice){.all = options->all};
    err = read_numbers("depth", options->depth, 1, 256, false, &choice->depths);
    if (!err)
        err = read_numbers("block", options->block, 1, 16u << 20, true, &choice->blocks);
    if (!err)
        err = read_numbers("queues", options->queues, 1, BENCH_QUEUES, false, &choice->queues);
    if (!err)
        err = read_words("store", options->store, store_words, &choice->stores);
    if (!err)
        err = read_words("ring", options->ring, ring_words, &choice->rings);
    if (!err)
        err = read_words("wait", options->wait, wait_words, &choice->waits);
    if (!err)
        err = read_words("without", options->without, without_words, &choice->without);
    if (!err && (choice->stores >> BENCH_STORE_DISK & 1u) && !options->disk_folder) {
        bh_error(NULL, NULL, "say --disk-folder=DIR, a folder on the disk that is to be measured",
                 "--store=disk needs a disk");
        err = BH_ERR_INVAL;
    }
    return err;
}

/* --- crossing ------------------------------------------------------------------------------------------------ */

struct crossing {
    const struct bench_choice *choice;
    struct bench_case one;
    int (*each)(void *owner, const struct bench_case *one);
    void *owner;
};

static int cross_ways(struct crossing *crossing)
{
    const struct bench_choice *choice = crossing->choice;
    const bool cheap = crossing->one.store == BENCH_STORE_NULL || crossing->one.store == BENCH_STORE_NONE;
    uint32_t rings = choice->rings;
    int err = BH_OK;

    if (crossing->one.workload->anew)
        return crossing->each(crossing->owner, &crossing->one);
    if (!rings)
        rings = 1u << RING_SPLIT | (choice->all && cheap ? 1u << RING_PACKED : 0);
    for (unsigned ring = RING_SPLIT; ring <= RING_PACKED; ring++) {
        for (unsigned wait = WAIT_SLEEP; wait <= WAIT_POLL && !err; wait++) {
            if (!(rings >> ring & 1u) || !(choice->waits >> wait & 1u))
                continue;
            crossing->one.packed = ring == RING_PACKED;
            crossing->one.polling = wait == WAIT_POLL;
            err = crossing->each(crossing->owner, &crossing->one);
        }
    }
    return err;
}

/* Disks have sectors, a frame has a header and room for a time, a packet of a socket has a largest size. */
static bool block_fits(const struct bench_workload *workload, uint32_t block)
{
    if (workload->load == &bench_load_blk)
        return block && block % 512 == 0;
    if (workload->load == &bench_load_net || workload->load == &bench_load_pair)
        return block >= 60 && block <= 65500;
    return block && (workload->load != &bench_load_vsock || block <= 64u << 10);
}

static int cross_sizes(struct crossing *crossing)
{
    const struct bench_workload *workload = crossing->one.workload;
    const struct bench_choice *choice = crossing->choice;
    const struct bench_numbers none = {.count = 0};
    const struct bench_numbers *asked_depths = workload->anew ? &none : &choice->depths;
    const struct bench_numbers *asked_blocks = workload->anew ? &none : &choice->blocks;
    const size_t depths = asked_depths->count ? asked_depths->count : BH_COUNT(workload->depths);
    const size_t blocks = asked_blocks->count ? asked_blocks->count : BH_COUNT(workload->blocks);
    int err = BH_OK;

    for (size_t q = 0; q < choice->queues.count && !err; q++) {
        crossing->one.queues = (unsigned)choice->queues.number[q];
        if (crossing->one.queues > 1 && !workload->stores)
            continue; /* disks alone have several queues for one kind of request */
        for (size_t b = 0; b < blocks && !err; b++) {
            crossing->one.block =
                asked_blocks->count ? (uint32_t)asked_blocks->number[b] : workload->blocks[b];
            for (size_t d = 0; d < depths && !err; d++) {
                crossing->one.depth =
                    asked_depths->count ? (unsigned)asked_depths->number[d] : workload->depths[d];
                if (crossing->one.depth && block_fits(workload, crossing->one.block))
                    err = cross_ways(crossing);
            }
        }
    }
    return err;
}

int bench_choice_expand(const struct bench_choice *choice, const struct bench_workload *workload,
                        int (*each)(void *owner, const struct bench_case *one), void *owner)
{
    struct crossing crossing = {.choice = choice,
                                .one = {.workload = workload,
                                        .event_idx = !(choice->without >> WITHOUT_EVENT_IDX & 1u),
                                        .indirect = !(choice->without >> WITHOUT_INDIRECT & 1u),
                                        .in_order = !(choice->without >> WITHOUT_IN_ORDER & 1u)},
                                .each = each,
                                .owner = owner};
    uint32_t stores = workload->stores & (choice->stores ? choice->stores : ~(1u << BENCH_STORE_DISK));
    int err = BH_OK;

    if (!workload->stores)
        stores = 1u << BENCH_STORE_NONE;
    for (unsigned store = 0; store <= BENCH_STORE_NONE && !err; store++) {
        crossing.one.store = (enum bench_store)store;
        if (stores >> store & 1u)
            err = cross_sizes(&crossing);
    }
    return err;
}
