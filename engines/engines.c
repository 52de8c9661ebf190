/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of engines, and the choice among them.
 */
#include "engines/engine.h"
#include "engines/qemu/qemu.h"

#include <string.h>

const struct bh_engine *const bh_engines[] = {&bh_engine_qemu, NULL};

static const struct bh_plan_domain *excluder(const struct bh_plan *plan, const char *engine)
{
    for (size_t d = 0; d < plan->domain_count; d++)
        for (size_t e = 0; e < plan->domains[d].excluded_engine_count; e++)
            if (!strcmp(plan->domains[d].excluded_engines[e], engine))
                return &plan->domains[d];
    return NULL;
}

static int try_engine(const struct bh_engine *engine, const struct bh_plan *plan, struct bh_diag_sink *sink,
                      void **state)
{
    const struct bh_plan_domain *domain = excluder(plan, engine->name);
    if (domain) {
        const struct bh_diag_where where = {plan->source, domain->line, 0, domain->node};
        bh_error(sink, &where, "choose another one by --engine=", "domain %s excludes the engine %s",
                 domain->name, engine->name);
        return BH_ERR_INVAL;
    }
    return engine->probe(plan, sink, state);
}

int bh_engine_choose(const char *name, const struct bh_plan *plan, struct bh_diag_sink *sink,
                     const struct bh_engine **engine, void **state)
{
    const bool any = !strcmp(name, "auto");
    int err = BH_ERR_NOENT;
    for (const struct bh_engine *const *at = bh_engines; *at; at++) {
        if (!any && strcmp(name, (*at)->name) != 0)
            continue;
        err = try_engine(*at, plan, sink, state);
        if (!err) {
            *engine = *at;
            return BH_OK;
        }
    }
    return any && err != BH_ERR_INVAL ? BH_ERR_UNSUPPORTED : err;
}
