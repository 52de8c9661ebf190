/* SPDX-License-Identifier: Apache-2.0 */
/* The hardware part of a description, as far as virtual machines need it: memory and clusters of cores. */
#include "plan/draft.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTERS_MAX 256

/* The cells of the spec's two counts, with its defaults [DTSpec 2.3.5]. False: reported. */
static bool cell_counts(struct bh_draft *draft, const struct bh_tree_node *node, uint64_t *address,
                        uint64_t *size)
{
    *address = 2;
    *size = 1;
    return bh_value_number(draft, node, "#address-cells", 1, 2, address) != BH_BAD &&
           bh_value_number(draft, node, "#size-cells", 1, 2, size) != BH_BAD;
}

static uint64_t cells(const uint8_t *data, uint64_t count)
{
    return count == 2 ? (uint64_t)bh_tree_cell(data) << 32 | bh_tree_cell(data + 4) : bh_tree_cell(data);
}

static bool is_memory(const struct bh_tree_node *node)
{
    const struct bh_tree_property *type = bh_tree_property(node, "device_type");

    return type != NULL && type->size == sizeof("memory") &&
           memcmp(type->data, "memory", sizeof("memory")) == 0;
}

static bool is_cluster(const struct bh_tree_node *node)
{
    return strcmp(node->path, "/cpus") == 0 || bh_tree_compatible(node, "cpus,cluster");
}

static void read_memory(struct bh_draft *draft, const struct bh_tree_node *node, uint64_t address,
                        uint64_t size)
{
    const struct bh_tree_property *reg = bh_tree_property(node, "reg");
    uint64_t entry = 4 * (address + size);

    draft->holes |= reg == NULL || reg->size == 0 || reg->size % entry != 0;
    if (reg == NULL) {
        bh_draft_missing(draft, node, "reg", "give the memory's address and size");
        return;
    }
    if (reg->size == 0 || reg->size % entry != 0) {
        bh_report_error(draft->report, &reg->where, NULL, "see #address-cells and #size-cells of the root",
                        "`reg` has %u bytes; an entry takes %" PRIu64 " cells (%" PRIu64
                        " of address, %" PRIu64 " of size)",
                        reg->size, address + size, address, size);
        return;
    }
    for (uint32_t at = 0; at < reg->size; at += (uint32_t)entry) {
        struct bh_draft_range *range = &draft->ram[draft->ram_count];

        range->start = cells(reg->data + at, address);
        range->size = cells(reg->data + at + 4 * address, size);
        range->where = reg->where;
        if (range->size > UINT64_MAX - range->start)
            bh_report_error(draft->report, &reg->where, NULL, NULL,
                            "memory of 0x%" PRIx64 " bytes at 0x%" PRIx64 " ends beyond 64 bits", range->size,
                            range->start);
        else if (range->size != 0)
            draft->ram_count++;
    }
}

static int by_start(const void *left, const void *right)
{
    const struct bh_draft_range *a = left, *b = right;

    return a->start < b->start ? -1 : a->start > b->start;
}

/* Adjoining and overlapping ranges become one, so that a domain may lie across two banks. */
static void merge_memory(struct bh_draft *draft)
{
    size_t kept = 0;

    qsort(draft->ram, draft->ram_count, sizeof(*draft->ram), by_start);
    for (size_t i = 1; i < draft->ram_count; i++) {
        struct bh_draft_range *last = &draft->ram[kept];
        const struct bh_draft_range *range = &draft->ram[i];

        if (range->start > last->start + last->size)
            draft->ram[++kept] = *range;
        else if (range->start + range->size > last->start + last->size)
            last->size = range->start + range->size - last->start;
    }
    if (draft->ram_count != 0)
        draft->ram_count = kept + 1;
}

static bool is_arm64_core(const struct bh_tree_node *core)
{
    static const char *const families[] = {"arm,cortex-a", "arm,cortex-x", "arm,neoverse-", "arm,armv8",
                                           "arm,armv9"};
    static const char *const arm32[] = {"arm,cortex-a5",  "arm,cortex-a7",  "arm,cortex-a8",
                                        "arm,cortex-a9",  "arm,cortex-a12", "arm,cortex-a15",
                                        "arm,cortex-a17", "arm,cortex-a32"};
    const struct bh_tree_property *compatible = bh_tree_property(core, "compatible");

    if (compatible == NULL || !bh_tree_is_text(compatible))
        return false;
    for (size_t i = 0; i < sizeof(arm32) / sizeof(*arm32); i++) {
        if (bh_tree_compatible(core, arm32[i]))
            return false;
    }
    for (const char *text = NULL; (text = bh_tree_next_text(compatible, text)) != NULL;) {
        for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++) {
            if (strncmp(text, families[i], strlen(families[i])) == 0)
                return true;
        }
    }
    return false;
}

static void read_cluster(struct bh_draft *draft, const struct bh_tree_node *node)
{
    struct bh_draft_cluster *cluster = &draft->clusters[draft->cluster_count++];

    cluster->node = node;
    cluster->arm64 = true;
    for (const struct bh_tree_node *core = node->child; core != NULL; core = core->next) {
        if (bh_tree_property(core, "reg") == NULL)
            continue;
        cluster->core_count++;
        cluster->arm64 = cluster->arm64 && is_arm64_core(core);
    }
}

int bh_draft_read_board(struct bh_draft *draft)
{
    const struct bh_tree_node *root = &draft->tree.nodes[0];
    size_t ranges = 0, clusters = 0;
    uint64_t address, size;
    bool counted = cell_counts(draft, root, &address, &size);

    draft->holes |= !counted;

    for (const struct bh_tree_node *node = root->child; node != NULL; node = node->next) {
        const struct bh_tree_property *reg = bh_tree_property(node, "reg");

        ranges += is_memory(node) && reg != NULL ? reg->size / 8 : 0;
        clusters += is_cluster(node);
    }
    if (clusters > CLUSTERS_MAX) {
        bh_report_error(draft->report, &root->where, NULL, NULL, "a board has at most %d clusters, not %zu",
                        CLUSTERS_MAX, clusters);
        clusters = CLUSTERS_MAX;
    }
    draft->ram = bh_arena_alloc(&draft->arena, ranges, sizeof(*draft->ram));
    draft->clusters = bh_arena_alloc(&draft->arena, clusters, sizeof(*draft->clusters));
    if (draft->ram == NULL || draft->clusters == NULL)
        return BH_ERR_NOMEM;
    for (const struct bh_tree_node *node = root->child; node != NULL; node = node->next) {
        if (is_memory(node) && counted)
            read_memory(draft, node, address, size);
        else if (is_cluster(node) && draft->cluster_count < CLUSTERS_MAX)
            read_cluster(draft, node);
    }
    merge_memory(draft);
    return BH_OK;
}
