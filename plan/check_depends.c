/* SPDX-License-Identifier: Apache-2.0 */
/* What domains wait for: their consoles, and one another. */
#include "plan/checks.h"
#include <string.h>

static uint32_t first_console(const struct bh_plan *plan, const struct bh_plan_domain *domain)
{
    for (uint32_t i = domain->device_first; i < domain->device_first + domain->device_count; i++) {
        if (plan->devices[i].console)
            return i;
    }
    return BH_PLAN_NONE;
}

void bh_check_ready_consoles(struct bh_draft *draft)
{
    struct bh_plan *plan = draft->plan;

    for (uint32_t i = 0; i < plan->domain_count; i++) {
        struct bh_plan_domain *domain = &plan->domains[i];
        const struct bh_draft_domain *from = &draft->domains[i];
        uint32_t device;

        if (domain->ready.kind != BH_PLAN_READY_CONSOLE)
            continue;
        domain->ready.console = first_console(plan, domain);
        if (from->ready_console == NULL)
            continue;
        device = draft->device_by_node[from->ready_console->index];
        if (device == BH_PLAN_NONE || plan->devices[device].domain != i || !plan->devices[device].console)
            bh_report_error(
                draft->report, &from->console_at, &from->ready_console->where,
                "point at a console of this domain, or leave it out: the first console is meant then",
                "`bulkhead,ready-console` refers to %s, which is no console of %s", from->ready_console->path,
                domain->node);
        else
            domain->ready.console = device;
    }
}

/*
 * What cannot be ordered waits in a cycle or for one. From any such domain, going on to a domain that it waits
 * for and that cannot be ordered either ends up in a cycle, because there is always one. `seen` numbers the walks,
 * so that each cycle is said once.
 */
static void report_cycle(struct bh_draft *draft, uint32_t start, const uint32_t *waits)
{
    const struct bh_plan *plan = draft->plan;
    const char *text = plan->domains[start].name;
    uint32_t at = start;

    do {
        const struct bh_plan_domain *domain = &plan->domains[at];
        size_t k = 0;

        while (waits[domain->after[k]] == 0)
            k++;
        at = domain->after[k];
        text = bh_arena_format(&draft->arena, "%s waits for %s%s", text, plan->domains[at].name,
                               at == start ? "" : ", which");
    } while (at != start && text != NULL && strlen(text) < 1000);
    if (text != NULL)
        bh_report_error(draft->report, &draft->domains[start].after_at,
                        at == start ? NULL : &draft->domains[at].after_at, "take one `bulkhead,after` away",
                        "no order of starting: %s", text);
}

void bh_check_cycles(struct bh_draft *draft)
{
    struct bh_plan *plan = draft->plan;
    uint32_t *waits = bh_check_room(draft, plan->domain_count, sizeof(*waits));
    uint32_t *seen = bh_check_room(draft, plan->domain_count, sizeof(*seen));

    if (waits == NULL || seen == NULL || bh_plan_order(plan, waits) == plan->domain_count)
        return;
    for (uint32_t i = 0; i < plan->domain_count; i++) {
        uint32_t at = i;

        while (waits[at] != 0 && seen[at] == 0) {
            size_t k = 0;

            seen[at] = i + 1;
            while (waits[plan->domains[at].after[k]] == 0)
                k++;
            at = plan->domains[at].after[k];
        }
        if (waits[at] != 0 && seen[at] == i + 1) { /* this walk came back to itself */
            seen[at] = UINT32_MAX;
            report_cycle(draft, at, waits);
        }
    }
}
