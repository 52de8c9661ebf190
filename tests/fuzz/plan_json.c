/* SPDX-License-Identifier: Apache-2.0 */
/* A plan from JSON that anybody wrote: what is taken must come back the same when it is written and read again. */
#include "plan/plan.h"
#include "tests/fuzz/target.h"

#include <stdlib.h>
#include <string.h>

static void quiet(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bh_diag_sink sink = {.emit = quiet};
    struct bh_plan *plan = NULL, *again = NULL;
    char *text = NULL, *second = NULL;

    if (bh_plan_from_json((const char *)data, size, "plan.json", &sink, &plan) != BH_OK)
        return 0;
    if (bh_plan_to_json(plan, &text) != BH_OK ||
        bh_plan_from_json(text, strlen(text), "plan.json", &sink, &again) != BH_OK ||
        bh_plan_to_json(again, &second) != BH_OK || strcmp(text, second) != 0)
        abort();
    bh_plan_free(plan);
    bh_plan_free(again);
    free(text);
    free(second);
    return 0;
}
