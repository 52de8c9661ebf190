/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there is under /domains: counts and names the domains, devices, links and switches, so that everything after
 * can refer to them by index.
 */
#include "plan/draft.h"
#include <string.h>

static const char *const domains_properties[] = {
    "#address-cells", "#size-cells", "bulkhead,system", "compatible", "phandle", "ranges", "status"};
static const char *const link_properties[] = {"compatible", "label", "phandle", "status"};
static const char *const node_kinds[] = {"openamp,domain-v1", "bulkhead,link", "bulkhead,switch"};

enum kind { OTHER, DOMAIN, LINK, SWITCH };

/* The first compatible that begins with `prefix`; NULL: none. */
static const char *first_compatible(const struct bh_tree_node *node, const char *prefix)
{
    const struct bh_tree_property *compatible = bh_tree_property(node, "compatible");

    if (compatible == NULL || !bh_tree_is_text(compatible))
        return NULL;
    for (const char *text = NULL; (text = bh_tree_next_text(compatible, text)) != NULL;) {
        if (strncmp(text, prefix, strlen(prefix)) == 0)
            return text;
    }
    return NULL;
}

static enum kind kind_of(const struct bh_tree_node *node)
{
    if (!bh_draft_enabled(node))
        return OTHER;
    if (bh_tree_compatible(node, "openamp,domain-v1"))
        return DOMAIN;
    if (bh_tree_compatible(node, "bulkhead,switch"))
        return SWITCH;
    return bh_tree_compatible(node, "bulkhead,link") ? LINK : OTHER;
}

static bool is_device(const struct bh_tree_node *node)
{
    return bh_draft_enabled(node) && first_compatible(node, "bulkhead,") != NULL;
}

/* A child of /domains that is none of these: other vendors' are left alone, a slip of ours is not. */
static void check_other(struct bh_draft *draft, const struct bh_tree_node *node)
{
    const struct bh_tree_property *compatible = bh_tree_property(node, "compatible");
    const char *word = first_compatible(node, "");
    size_t kinds = sizeof(node_kinds) / sizeof(*node_kinds);

    if (!bh_draft_enabled(node))
        return;
    draft->holes |= compatible == NULL || word == NULL || first_compatible(node, "bulkhead,") != NULL ||
                    bh_did_you_mean(word, node_kinds, kinds) != NULL;
    if (compatible == NULL || word == NULL) {
        bh_draft_missing(
            draft, node, "compatible",
            "a domain has \"openamp,domain-v1\", a link \"bulkhead,link\", a switch \"bulkhead,switch\"");
        return;
    }
    if (first_compatible(node, "bulkhead,") != NULL)
        bh_draft_unknown(draft, &compatible->where, "kind of node in /domains",
                         first_compatible(node, "bulkhead,"), node_kinds, kinds);
    else if (bh_did_you_mean(word, node_kinds, kinds) != NULL)
        bh_draft_unknown(draft, &compatible->where, "kind of node in /domains", word, node_kinds, kinds);
}

static void check_name(struct bh_draft *draft, const struct bh_diag_where *where, const char *what,
                       const char *name)
{
    if (!bh_plan_name_ok(name))
        bh_report_error(draft->report, where, NULL, "use a letter, then letters, digits and ,._+-@",
                        "\"%s\" cannot be the name of a %s: a name has 1 to %d characters of a node name",
                        name, what, BH_PLAN_NAME_MAX);
    else if (strcmp(name, BH_PLAN_NAME_TAKEN) == 0 &&
             (strcmp(what, "domain") == 0 || strcmp(what, "switch") == 0))
        bh_report_error(draft->report, where, NULL, "name it otherwise",
                        "\"%s\" cannot be the name of a %s: the daemon's own log is called so", name, what);
}

/* Properties of a node that is ours through and through: every one must be known. */
static void check_properties(struct bh_draft *draft, const struct bh_tree_node *node, const char *what,
                             const char *const *names, size_t count, bool all)
{
    for (uint32_t i = 0; i < node->property_count; i++) {
        const char *name = node->properties[i].name;
        bool known = false;

        for (size_t k = 0; k < count && !known; k++)
            known = strcmp(names[k], name) == 0;
        if (!known && (all || strncmp(name, "bulkhead,", 9) == 0))
            bh_draft_unknown(draft, &node->properties[i].where, what, name, names, count);
    }
}

/* The file's name without its ending. */
static char *default_name(struct bh_draft *draft)
{
    const char *slash = strrchr(draft->tree.file, '/');
    const char *name = slash == NULL ? draft->tree.file : slash + 1;
    const char *dot = strrchr(name, '.');

    return bh_arena_copy(&draft->box->arena, name,
                         dot == NULL || dot == name ? strlen(name) : (size_t)(dot - name));
}

static int name_system(struct bh_draft *draft)
{
    const struct bh_tree_node *node = draft->domains_node;
    const char *text;

    if (bh_value_text(draft, node, "bulkhead,system", &text) == BH_FOUND) {
        check_name(draft, &bh_tree_property(node, "bulkhead,system")->where, "system", text);
        draft->plan->name = bh_arena_string(&draft->box->arena, text);
    } else {
        draft->plan->name = default_name(draft);
        if (draft->plan->name != NULL && !bh_plan_name_ok(draft->plan->name))
            bh_report_error(
                draft->report, &node->where, NULL, "give the system a name: bulkhead,system = \"...\";",
                "\"%s\", made from the file's name, cannot be the system's name", draft->plan->name);
    }
    draft->plan->source = bh_arena_string(&draft->box->arena, draft->tree.file);
    return draft->plan->name == NULL || draft->plan->source == NULL ? BH_ERR_NOMEM : BH_OK;
}

static uint32_t *node_index(struct bh_draft *draft)
{
    uint32_t *index = bh_arena_alloc(&draft->arena, draft->tree.node_count, sizeof(*index));

    for (uint32_t i = 0; index != NULL && i < draft->tree.node_count; i++)
        index[i] = BH_PLAN_NONE;
    return index;
}

static int count_things(struct bh_draft *draft)
{
    struct bh_plan *plan = draft->plan;
    struct bh_arena *arena = &draft->box->arena;

    for (const struct bh_tree_node *node = draft->domains_node->child; node != NULL; node = node->next) {
        plan->domain_count += kind_of(node) == DOMAIN;
        plan->link_count += kind_of(node) == LINK;
        plan->switch_count += kind_of(node) == SWITCH;
        for (const struct bh_tree_node *child = node->child; kind_of(node) == DOMAIN && child != NULL;
             child = child->next)
            plan->device_count += is_device(child);
    }
    plan->domains = bh_arena_alloc(arena, plan->domain_count, sizeof(*plan->domains));
    plan->devices = bh_arena_alloc(arena, plan->device_count, sizeof(*plan->devices));
    plan->links = bh_arena_alloc(arena, plan->link_count, sizeof(*plan->links));
    plan->switches = bh_arena_alloc(arena, plan->switch_count, sizeof(*plan->switches));
    plan->start_order = bh_arena_alloc(arena, plan->domain_count, sizeof(*plan->start_order));
    plan->creates = bh_arena_alloc(arena, plan->device_count, sizeof(*plan->creates));
    draft->domains = bh_arena_alloc(&draft->arena, plan->domain_count, sizeof(*draft->domains));
    draft->devices = bh_arena_alloc(&draft->arena, plan->device_count, sizeof(*draft->devices));
    draft->links = bh_arena_alloc(&draft->arena, plan->link_count, sizeof(struct bh_tree_node *));
    draft->switches = bh_arena_alloc(&draft->arena, plan->switch_count, sizeof(struct bh_tree_node *));
    draft->domain_by_node = node_index(draft);
    draft->device_by_node = node_index(draft);
    draft->link_by_node = node_index(draft);
    draft->switch_by_node = node_index(draft);
    if (draft->domain_by_node == NULL || draft->device_by_node == NULL || draft->link_by_node == NULL ||
        draft->switch_by_node == NULL)
        return BH_ERR_NOMEM;
    return plan->domains == NULL || plan->devices == NULL || plan->links == NULL || plan->switches == NULL ||
                   plan->start_order == NULL || plan->creates == NULL || draft->domains == NULL ||
                   draft->devices == NULL || draft->links == NULL || draft->switches == NULL
               ? BH_ERR_NOMEM
               : BH_OK;
}

static bool name_thing(struct bh_draft *draft, const struct bh_tree_node *node, char **name, char **path,
                       uint32_t *line)
{
    *name = bh_arena_string(&draft->box->arena, node->name);
    *path = bh_arena_string(&draft->box->arena, node->path);
    /* A line of another file would mislead: the plan names one. */
    const char *file = node->where.file;
    *line = file && !strcmp(file, draft->tree.file) ? node->where.line : 0;
    return *name != NULL && *path != NULL;
}

static int add_devices(struct bh_draft *draft, uint32_t domain, uint32_t *next)
{
    struct bh_plan_domain *owner = &draft->plan->domains[domain];
    const struct bh_tree_node *node = draft->domains[domain].node;

    owner->device_first = *next;
    for (const struct bh_tree_node *child = node->child; child != NULL; child = child->next) {
        struct bh_plan_device *device = &draft->plan->devices[*next];

        if (!is_device(child))
            continue;
        if (!name_thing(draft, child, &device->name, &device->node, &device->line))
            return BH_ERR_NOMEM;
        check_name(draft, &child->where, "device", child->name);
        device->domain = domain;
        device->link = device->net_switch = BH_PLAN_NONE;
        draft->device_by_node[child->index] = *next;
        draft->devices[(*next)++].node = child;
        owner->device_count++;
    }
    return BH_OK;
}

static int add_things(struct bh_draft *draft)
{
    uint32_t domain = 0, device = 0, link = 0, at = 0;

    for (const struct bh_tree_node *node = draft->domains_node->child; node != NULL; node = node->next) {
        struct bh_plan *plan = draft->plan;
        bool named = true;
        int err = BH_OK;

        switch (kind_of(node)) {
        case DOMAIN:
            named = name_thing(draft, node, &plan->domains[domain].name, &plan->domains[domain].node,
                               &plan->domains[domain].line);
            check_name(draft, &node->where, "domain", node->name);
            draft->domains[domain].node = node;
            draft->domain_by_node[node->index] = domain;
            err = add_devices(draft, domain++, &device);
            break;
        case LINK:
            named = name_thing(draft, node, &plan->links[link].name, &plan->links[link].node,
                               &plan->links[link].line);
            check_name(draft, &node->where, "link", node->name);
            check_properties(draft, node, "property of a link", link_properties,
                             sizeof(link_properties) / sizeof(*link_properties), true);
            plan->links[link].device[0] = plan->links[link].device[1] = BH_PLAN_NONE;
            draft->link_by_node[node->index] = link;
            draft->links[link++] = node;
            break;
        case SWITCH:
            named = name_thing(draft, node, &plan->switches[at].name, &plan->switches[at].node,
                               &plan->switches[at].line);
            check_name(draft, &node->where, "switch", node->name);
            draft->switch_by_node[node->index] = at;
            draft->switches[at++] = node;
            break;
        case OTHER: check_other(draft, node); break;
        }
        if (!named || err != BH_OK)
            return BH_ERR_NOMEM;
    }
    return BH_OK;
}

int bh_draft_read_system(struct bh_draft *draft)
{
    const struct bh_tree_node *node = bh_tree_child(&draft->tree.nodes[0], "domains");
    int err;

    draft->domains_node = node;
    if (node == NULL) {
        bh_report_error(draft->report, &draft->tree.nodes[0].where, NULL,
                        "docs/binding.md shows how a system is described",
                        "there is no /domains node: nothing to run");
        return BH_OK;
    }
    check_properties(draft, node, "property of /domains", domains_properties,
                     sizeof(domains_properties) / sizeof(*domains_properties), false);
    err = name_system(draft);
    if (err == BH_OK)
        err = count_things(draft);
    if (err != BH_OK)
        return err;
    if (draft->plan->domain_count == 0)
        bh_report_error(draft->report, &node->where, NULL,
                        "add a child with compatible = \"openamp,domain-v1\"",
                        "/domains has no domain: nothing to run");
    if (draft->plan->switch_count > BH_PLAN_DOMAINS_MAX) {
        bh_report_error(draft->report, &node->where, NULL, "describe them as two systems",
                        "a system has at most %d switches, not %zu", BH_PLAN_DOMAINS_MAX,
                        draft->plan->switch_count);
        draft->domains_node = NULL;
        return BH_OK;
    }
    if (draft->plan->domain_count > BH_PLAN_DOMAINS_MAX || draft->plan->device_count > BH_PLAN_DEVICES_MAX) {
        bh_report_error(draft->report, &node->where, NULL, "describe them as two systems",
                        "a system has at most %d domains and %d devices, not %zu and %zu",
                        BH_PLAN_DOMAINS_MAX, BH_PLAN_DEVICES_MAX, draft->plan->domain_count,
                        draft->plan->device_count);
        draft->domains_node = NULL; /* nothing more is read of it */
        return BH_OK;
    }
    return add_things(draft);
}
