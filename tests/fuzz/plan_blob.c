/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A description as a blob that anybody wrote: read, checked and placed, all but the checks that open files. What
 * no check objects to must be a plan that keeps plan.h's promises, which its JSON reader knows by heart.
 */
#include "plan/checks.h"
#include "tests/fuzz/target.h"
#include "tests/unit/plan_rig.h"

#include <stdlib.h>
#include <string.h>

static void quiet(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

static void check(struct bh_draft *draft)
{
    static void (*const checks[])(struct bh_draft *) = {bh_check_ids,
                                                        bh_check_names,
                                                        bh_check_sockets,
                                                        bh_check_cores_exist,
                                                        bh_check_cores_exclusive,
                                                        bh_check_memory_inside,
                                                        bh_check_memory_exclusive,
                                                        bh_check_slots,
                                                        bh_check_macs,
                                                        bh_check_ports,
                                                        bh_check_links,
                                                        bh_check_switches,
                                                        bh_check_ready_consoles,
                                                        bh_check_cycles};

    for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++)
        checks[i](draft);
}

static void must_read_back(const struct bh_plan *plan)
{
    struct bh_diag_sink sink = {.emit = quiet};
    struct bh_plan *again = NULL;
    char *text = NULL;

    if (bh_plan_to_json(plan, &text) != BH_OK ||
        bh_plan_from_json(text, strlen(text), "plan.json", &sink, &again) != BH_OK)
        abort();
    bh_plan_free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bh_draft draft = {.settings = &plan_rig_settings, .box = bh_plan_box_create()};
    struct bh_diag_sink sink = {.emit = quiet};
    struct bh_report report;
    int err;

    if (draft.box == NULL)
        return 0;
    bh_report_init(&report);
    draft.report = &report;
    draft.plan = &draft.box->plan;
    err = bh_tree_from_blob(&draft.tree, "/fuzz/x.dtb", data, size, &report);
    if (err == BH_OK)
        err = bh_draft_read(&draft);
    if (err == BH_OK && draft.domains_node != NULL)
        check(&draft);
    if (err == BH_OK && report.sink.error_count == 0 && bh_draft_place(&draft) == BH_OK)
        must_read_back(draft.plan);
    if (err != BH_OK && err != BH_ERR_NOMEM && report.sink.error_count == 0)
        abort(); /* refused without a word */
    bh_report_flush(&report, &sink);
    bh_plan_free(draft.plan);
    bh_tree_fini(&draft.tree);
    bh_arena_fini(&draft.arena);
    bh_report_fini(&report);
    return 0;
}
