/* SPDX-License-Identifier: Apache-2.0 */
/* One domain's properties, in the order of docs/binding.md. */
#include "plan/draft.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *const domain_properties[] = {"compatible",
                                                "id",
                                                "cpus",
                                                "memory",
                                                "os,type",
                                                "access",
                                                "sram",
                                                "status",
                                                "phandle",
                                                "label",
                                                "#address-cells",
                                                "#size-cells",
                                                "#memory-flags-cells",
                                                "#sram-flags-cells",
                                                "#access-flags-cells",
                                                "access-implicit-default",
                                                "memory-implicit-default",
                                                "sram-implicit-default",
                                                "#access-implicit-default-cells",
                                                "#memory-implicit-default-cells",
                                                "#sram-implicit-default-cells",
                                                "bulkhead,kernel",
                                                "bulkhead,ramdisk",
                                                "bulkhead,after",
                                                "bulkhead,ready-pattern",
                                                "bulkhead,ready-console",
                                                "bulkhead,ready-timeout",
                                                "bulkhead,restart",
                                                "bulkhead,restart-limit",
                                                "bulkhead,restart-window",
                                                "bulkhead,exclude-engines"};
static const char *const os_types[] = {"linux", "baremetal", "freertos", "zephyr", "custom"};
static const char *const engines[] = {"kvm", "qemu", "xen"};
static const char *const chosen_properties[] = {"bootargs"};

/* A slip in a name of the specification cannot be told from another vendor's property, unless it is a near miss. */
static void check_properties(struct bh_draft *draft, const struct bh_tree_node *node)
{
    for (uint32_t i = 0; i < node->property_count; i++) {
        const char *name = node->properties[i].name;
        bool known = false;

        for (size_t k = 0; k < COUNT(domain_properties) && !known; k++)
            known = strcmp(domain_properties[k], name) == 0;
        if (!known && (strncmp(name, "bulkhead,", 9) == 0 ||
                       bh_did_you_mean(name, domain_properties, COUNT(domain_properties)) != NULL))
            bh_draft_unknown(draft, &node->properties[i].where, "property of a domain", name,
                             domain_properties, COUNT(domain_properties));
    }
}

static void read_id(struct bh_draft *draft, struct bh_draft_domain *from, struct bh_plan_domain *to)
{
    uint64_t id = 0;
    enum bh_found found = bh_value_number(draft, from->node, "id", 0, UINT32_MAX, &id);

    if (found == BH_ABSENT)
        bh_draft_missing(draft, from->node, "id", "give it a number of its own: id = <1>;");
    from->has_id = found == BH_FOUND;
    if (from->has_id)
        from->id_at = bh_tree_property(from->node, "id")->where;
    to->id = (uint32_t)id;
}

/* "OS[,TYPE_ID[,VERSION]]" [System DT, os,type]. */
static int read_os(struct bh_draft *draft, struct bh_draft_domain *from, struct bh_plan_domain *to)
{
    const char *text;
    char word[32];
    bool known;

    if (bh_value_text(draft, from->node, "os,type", &text) != BH_FOUND)
        return BH_OK;
    (void)snprintf(word, sizeof(word), "%.*s", (int)strcspn(text, ","), text);
    known = strncmp(word, "x-", 2) == 0;
    for (size_t i = 0; i < COUNT(os_types) && !known; i++)
        known = strcmp(word, os_types[i]) == 0;
    if (!known)
        bh_draft_unknown(draft, &bh_tree_property(from->node, "os,type")->where, "os,type", word, os_types,
                         COUNT(os_types));
    to->os_type = bh_arena_string(&draft->box->arena, text);
    return to->os_type == NULL ? BH_ERR_NOMEM : BH_OK;
}

static const struct bh_draft_cluster *cluster_of(const struct bh_draft *draft,
                                                 const struct bh_tree_node *node)
{
    for (size_t i = 0; i < draft->cluster_count; i++) {
        if (draft->clusters[i].node == node)
            return &draft->clusters[i];
    }
    return NULL;
}

/* One <&cluster mask exec-level>. */
static bool read_cpus_entry(struct bh_draft *draft, const struct bh_tree_property *property, uint32_t at,
                            struct bh_plan_cpus *cpus)
{
    uint32_t phandle = bh_tree_cell(property->data + at);
    const struct bh_tree_node *node = bh_tree_by_phandle(&draft->tree, phandle);
    const struct bh_draft_cluster *cluster = node == NULL ? NULL : cluster_of(draft, node);

    cpus->mask = bh_tree_cell(property->data + at + 4);
    cpus->exec_level = bh_tree_cell(property->data + at + 8);
    if (node == NULL) {
        bh_report_error(draft->report, &property->where, NULL, "point at a cluster: <&label mask exec-level>",
                        "`cpus` refers to phandle %u, which no node has", phandle);
        return false;
    }
    if (cluster == NULL) {
        bh_report_error(draft->report, &property->where, &node->where,
                        "a cluster has compatible = \"cpus,cluster\", or is /cpus",
                        "`cpus` refers to %s, which is no cluster", node->path);
        return false;
    }
    if (!cluster->arm64)
        bh_report_error(draft->report, &property->where, &node->where, "give it cores of an arm64 cluster",
                        "the cores of %s are not known to be arm64, so no engine can run the domain",
                        node->path);
    if (cpus->exec_level > 2)
        bh_report_error(draft->report, &property->where, NULL, "0x1 lets it use EL1, 0x2 EL2 too",
                        "exec level 0x%x is none of a virtual machine: it must be 0, 1 or 2, and not secure",
                        cpus->exec_level);
    if (cpus->mask == 0)
        bh_report_error(draft->report, &property->where, NULL, "bit N is the cluster's core N",
                        "the mask of cores is empty");
    cpus->cluster = bh_arena_string(&draft->box->arena, node->path);
    return cpus->cluster != NULL;
}

static int read_cpus(struct bh_draft *draft, struct bh_draft_domain *from, struct bh_plan_domain *to)
{
    const struct bh_tree_property *property = bh_tree_property(from->node, "cpus");

    if (property == NULL) {
        bh_draft_missing(draft, from->node, "cpus", "cpus = <&cluster mask exec-level>;");
        return BH_OK;
    }
    from->cpus_at = property->where;
    if (property->size == 0 || property->size % 12 != 0) {
        bh_report_error(draft->report, &property->where, NULL, "cpus = <&cluster mask exec-level>;",
                        "`cpus` has %u cells; an entry takes 3", property->size / 4);
        return BH_OK;
    }
    if (property->size / 12 > BH_PLAN_CPUS_MAX) {
        bh_report_error(draft->report, &property->where, NULL, NULL,
                        "`cpus` has %u entries; a domain has at most %d cores", property->size / 12,
                        BH_PLAN_CPUS_MAX);
        return BH_OK;
    }
    to->cpus = bh_arena_alloc(&draft->box->arena, property->size / 12, sizeof(*to->cpus));
    if (to->cpus == NULL)
        return BH_ERR_NOMEM;
    for (uint32_t at = 0; at < property->size; at += 12) {
        if (!read_cpus_entry(draft, property, at, &to->cpus[to->cpus_count]))
            continue;
        to->cpu_count += (uint32_t)__builtin_popcount(to->cpus[to->cpus_count++].mask);
    }
    if (to->cpu_count > BH_PLAN_CPUS_MAX)
        bh_report_error(draft->report, &property->where, NULL, NULL, "a domain has at most %d cores, not %u",
                        BH_PLAN_CPUS_MAX, to->cpu_count);
    return BH_OK;
}

static uint64_t cells(const uint8_t *data, uint64_t count)
{
    return count == 2 ? (uint64_t)bh_tree_cell(data) << 32 | bh_tree_cell(data + 4) : bh_tree_cell(data);
}

static void read_memory_entry(struct bh_draft *draft, const struct bh_tree_property *property,
                              struct bh_plan_domain *to, uint64_t start, uint64_t size)
{
    struct bh_draft_range *range;

    if (size == 0 || (start | size) % 4096 != 0) {
        bh_report_error(draft->report, &property->where, NULL,
                        "start and size are multiples of 0x1000, and size is not 0",
                        "memory of 0x%" PRIx64 " bytes at 0x%" PRIx64 " is no whole number of 4 KiB pages",
                        size, start);
        return;
    }
    if (size > (uint64_t)INT64_MAX - to->memory_size || start > (uint64_t)INT64_MAX - size) {
        bh_report_error(draft->report, &property->where, NULL, NULL,
                        "memory of 0x%" PRIx64 " bytes at 0x%" PRIx64 " ends beyond 2^63", size, start);
        return;
    }
    to->memory[to->memory_count].host = start;
    to->memory[to->memory_count++].size = size;
    to->memory_size += size;
    range = &draft->memory[draft->memory_count++];
    range->start = start;
    range->size = size;
    range->domain = (uint32_t)(to - draft->plan->domains);
    range->where = property->where;
}

static int read_memory(struct bh_draft *draft, struct bh_draft_domain *from, struct bh_plan_domain *to)
{
    const struct bh_tree_property *property = bh_tree_property(from->node, "memory");
    uint64_t address = 2, size = 1, flags = 0, entry;

    if (property == NULL) {
        bh_draft_missing(draft, from->node, "memory", "memory = <start size>;, inside the board's memory");
        return BH_OK;
    }
    from->memory_at = property->where;
    if (bh_value_number(draft, draft->domains_node, "#address-cells", 1, 2, &address) == BH_BAD ||
        bh_value_number(draft, draft->domains_node, "#size-cells", 1, 2, &size) == BH_BAD ||
        bh_value_number(draft, from->node, "#memory-flags-cells", 0, 8, &flags) == BH_BAD)
        return BH_OK;
    entry = 4 * (address + size + flags);
    if (property->size == 0 || property->size % entry != 0) {
        bh_report_error(draft->report, &property->where, NULL,
                        "see #address-cells and #size-cells of /domains",
                        "`memory` has %u cells; an entry takes %" PRIu64 " (%" PRIu64 " of address, %" PRIu64
                        " of size, %" PRIu64 " of flags)",
                        property->size / 4, entry / 4, address, size, flags);
        return BH_OK;
    }
    to->memory = bh_arena_alloc(&draft->box->arena, property->size / entry, sizeof(*to->memory));
    if (to->memory == NULL)
        return BH_ERR_NOMEM;
    for (uint32_t at = 0; at < property->size; at += (uint32_t)entry)
        read_memory_entry(draft, property, to, cells(property->data + at, address),
                          cells(property->data + at + 4 * address, size));
    return BH_OK;
}

static int read_bootargs(struct bh_draft *draft, struct bh_draft_domain *from, struct bh_plan_domain *to)
{
    const struct bh_tree_node *chosen = bh_tree_child(from->node, "chosen");
    const char *text = "";

    if (chosen != NULL)
        (void)bh_value_text(draft, chosen, "bootargs", &text);
    for (uint32_t i = 0; chosen != NULL && i < chosen->property_count; i++) {
        const char *name = chosen->properties[i].name;

        if (strcmp(name, "bootargs") != 0 && bh_did_you_mean(name, chosen_properties, 1) != NULL)
            bh_draft_unknown(draft, &chosen->properties[i].where, "property of chosen", name,
                             chosen_properties, 1);
    }
    if (strlen(text) > 2047) /* COMMAND_LINE_SIZE of arm64 Linux is 2048 */
        bh_report_error(draft->report, &bh_tree_property(chosen, "bootargs")->where, NULL, NULL,
                        "`bootargs` has %zu bytes; Linux takes 2047", strlen(text));
    to->bootargs = bh_arena_string(&draft->box->arena, text);
    return to->bootargs == NULL ? BH_ERR_NOMEM : BH_OK;
}

static int read_images(struct bh_draft *draft, struct bh_draft_domain *from, struct bh_plan_domain *to)
{
    enum bh_found found = bh_value_path(draft, from->node, "bulkhead,kernel", &to->kernel);

    if (found == BH_ABSENT)
        bh_draft_missing(draft, from->node, "bulkhead,kernel", "name an arm64 Image");
    else
        from->kernel_at = bh_tree_property(from->node, "bulkhead,kernel")->where;
    if (bh_value_path(draft, from->node, "bulkhead,ramdisk", &to->ramdisk) != BH_ABSENT)
        from->ramdisk_at = bh_tree_property(from->node, "bulkhead,ramdisk")->where;
    return read_bootargs(draft, from, to);
}

static void add_after(struct bh_draft *draft, const struct bh_diag_where *where, struct bh_plan_domain *to,
                      uint32_t phandle)
{
    const struct bh_tree_node *node = bh_tree_by_phandle(&draft->tree, phandle);
    uint32_t domain = node == NULL ? BH_PLAN_NONE : draft->domain_by_node[node->index];
    size_t at = to->after_count;

    if (node == NULL) {
        bh_report_error(draft->report, where, NULL, "point at a domain: <&label>",
                        "`bulkhead,after` refers to phandle %u, which no node has", phandle);
        return;
    }
    if (domain == BH_PLAN_NONE) {
        bh_report_error(draft->report, where, &node->where, "point at a domain: <&label>",
                        "`bulkhead,after` refers to %s, which is no domain of the system", node->path);
        return;
    }
    while (at > 0 && to->after[at - 1] > domain)
        at--;
    if (at > 0 && to->after[at - 1] == domain) {
        bh_report_error(draft->report, where, &node->where, "name it once", "`bulkhead,after` names %s twice",
                        node->path);
        return;
    }
    memmove(&to->after[at + 1], &to->after[at], (to->after_count - at) * sizeof(*to->after));
    to->after[at] = domain;
    to->after_count++;
}

static int read_after(struct bh_draft *draft, struct bh_draft_domain *from, struct bh_plan_domain *to)
{
    const struct bh_tree_property *property = bh_tree_property(from->node, "bulkhead,after");

    if (property == NULL)
        return BH_OK;
    from->after_at = property->where;
    if (property->size == 0 || property->size % 4 != 0 || property->size / 4 > BH_PLAN_DOMAINS_MAX) {
        bh_report_error(draft->report, &property->where, NULL, "bulkhead,after = <&label>, <&label>;",
                        "`bulkhead,after` must be one or more references");
        return BH_OK;
    }
    to->after = bh_arena_alloc(&draft->box->arena, property->size / 4, sizeof(*to->after));
    if (to->after == NULL)
        return BH_ERR_NOMEM;
    for (uint32_t at = 0; at < property->size; at += 4)
        add_after(draft, &property->where, to, bh_tree_cell(property->data + at));
    return BH_OK;
}

static int read_ready(struct bh_draft *draft, struct bh_draft_domain *from, struct bh_plan_domain *to)
{
    const char *pattern;
    enum bh_found found = bh_value_text(draft, from->node, "bulkhead,ready-pattern", &pattern);
    const struct bh_tree_property *property;

    to->ready.console = BH_PLAN_NONE;
    to->ready.timeout_ms = 60000;
    (void)bh_value_time(draft, from->node, "bulkhead,ready-timeout", &to->ready.timeout_ms);
    if (bh_value_node(draft, from->node, "bulkhead,ready-console", &from->ready_console) != BH_ABSENT)
        from->console_at = bh_tree_property(from->node, "bulkhead,ready-console")->where;
    if (found == BH_FOUND) {
        property = bh_tree_property(from->node, "bulkhead,ready-pattern");
        to->ready.kind = BH_PLAN_READY_CONSOLE;
        if (*pattern == '\0' || strlen(pattern) > 255)
            bh_report_error(draft->report, &property->where, NULL,
                            "give a text that the domain prints when it is up",
                            "`bulkhead,ready-pattern` must have 1 to 255 bytes, not %zu", strlen(pattern));
        to->ready.pattern = bh_arena_string(&draft->box->arena, pattern);
        return to->ready.pattern == NULL ? BH_ERR_NOMEM : BH_OK;
    }
    if (found == BH_ABSENT && from->console_at.file != NULL)
        bh_report_error(draft->report, &from->console_at, NULL, "add bulkhead,ready-pattern = \"...\";",
                        "`bulkhead,ready-console` says where to look, but there is no "
                        "`bulkhead,ready-pattern` to look for");
    return BH_OK;
}

void bh_draft_read_restart(struct bh_draft *draft, const struct bh_tree_node *node,
                           enum bh_plan_restart *policy, uint32_t *limit, uint32_t *window_ms)
{
    const char *words[4] = {NULL};
    uint32_t word = *policy;
    uint64_t number = *limit;

    for (int i = BH_PLAN_RESTART_NEVER; i <= BH_PLAN_RESTART_ALWAYS; i++)
        words[i] = bh_plan_restart_name((enum bh_plan_restart)i);
    (void)bh_value_word(draft, node, "bulkhead,restart", words, &word);
    (void)bh_value_number(draft, node, "bulkhead,restart-limit", 1, 1000, &number);
    (void)bh_value_time(draft, node, "bulkhead,restart-window", window_ms);
    *policy = (enum bh_plan_restart)word;
    *limit = (uint32_t)number;
}

static int read_engines(struct bh_draft *draft, struct bh_draft_domain *from, struct bh_plan_domain *to)
{
    const struct bh_tree_property *property = bh_tree_property(from->node, "bulkhead,exclude-engines");
    bool excluded[COUNT(engines)] = {false};

    if (property == NULL)
        return BH_OK;
    if (!bh_tree_is_text(property) || property->size == 1) {
        bh_report_error(draft->report, &property->where, NULL, "bulkhead,exclude-engines = \"xen\";",
                        "`bulkhead,exclude-engines` must be one or more strings");
        return BH_OK;
    }
    for (const char *text = NULL; (text = bh_tree_next_text(property, text)) != NULL;) {
        size_t i = 0;

        while (i < COUNT(engines) && strcmp(engines[i], text) != 0)
            i++;
        if (i == COUNT(engines))
            bh_draft_unknown(draft, &property->where, "engine", text, engines, COUNT(engines));
        else
            excluded[i] = true;
    }
    to->excluded_engines = bh_arena_alloc(&draft->box->arena, COUNT(engines), sizeof(char *));
    if (to->excluded_engines == NULL)
        return BH_ERR_NOMEM;
    for (size_t i = 0; i < COUNT(engines); i++) {
        char *name = excluded[i] ? bh_arena_string(&draft->box->arena, engines[i]) : NULL;

        if (excluded[i] && name == NULL)
            return BH_ERR_NOMEM;
        if (excluded[i])
            to->excluded_engines[to->excluded_engine_count++] = name;
    }
    if (to->excluded_engine_count == COUNT(engines))
        bh_report_error(draft->report, &property->where, NULL, "leave one",
                        "every engine is excluded: nothing can run the domain");
    return BH_OK;
}

/* Children that are neither devices nor what the specification knows. */
static void check_children(struct bh_draft *draft, const struct bh_tree_node *node)
{
    static const char *const known[] = {"chosen", "reserved-memory", "domain-to-domain"};

    for (const struct bh_tree_node *child = node->child; child != NULL; child = child->next) {
        bool is_known = false;

        for (size_t i = 0; i < COUNT(known); i++)
            is_known |= strcmp(known[i], child->name) == 0;
        if (bh_tree_compatible(child, "openamp,domain-v1"))
            bh_report_error(draft->report, &child->where, &node->where, "make it a child of /domains",
                            "a domain inside a domain cannot be run yet");
        else if (!is_known && bh_tree_property(child, "compatible") == NULL)
            bh_draft_missing(draft, child, "compatible",
                             "a virtual device has compatible = \"bulkhead,CLASS\"");
    }
}

static void warn_unused(struct bh_draft *draft, const struct bh_tree_node *node)
{
    static const char *const names[] = {"access", "sram"};

    for (size_t i = 0; i < COUNT(names); i++) {
        const struct bh_tree_property *property = bh_tree_property(node, names[i]);

        if (property != NULL)
            bh_report_warning(draft->report, &property->where, NULL,
                              "`%s` has no effect: a virtual machine is given "
                              "no hardware yet",
                              names[i]);
    }
}

int bh_draft_read_domain(struct bh_draft *draft, uint32_t index)
{
    struct bh_draft_domain *from = &draft->domains[index];
    struct bh_plan_domain *to = &draft->plan->domains[index];
    int err;

    check_properties(draft, from->node);
    check_children(draft, from->node);
    warn_unused(draft, from->node);
    to->kind = BH_PLAN_VM;
    to->arch = BH_PLAN_ARM64;
    read_id(draft, from, to);
    to->restart = BH_PLAN_RESTART_NEVER;
    to->restart_limit = 3;
    to->restart_window_ms = 600000;
    bh_draft_read_restart(draft, from->node, &to->restart, &to->restart_limit, &to->restart_window_ms);
    err = read_os(draft, from, to);
    if (err == BH_OK)
        err = read_cpus(draft, from, to);
    if (err == BH_OK)
        err = read_memory(draft, from, to);
    if (err == BH_OK)
        err = read_images(draft, from, to);
    if (err == BH_OK)
        err = read_after(draft, from, to);
    if (err == BH_OK)
        err = read_ready(draft, from, to);
    if (err == BH_OK)
        err = read_engines(draft, from, to);
    return err;
}
