/* SPDX-License-Identifier: Apache-2.0 */
/* What holds between socket devices: context IDs, and who may talk to whom. */
#include "plan/checks.h"
#include <stdlib.h>
#include <string.h>

/* The number that an option of the device has; 0: none. Its text was read by the class's table already. */
static unsigned long long number_of(const struct bh_plan_device *device, const char *option)
{
    const char *text = option == NULL ? NULL : bh_plan_option_value(device, option);

    return text == NULL ? 0 : strtoull(text, NULL, 0);
}

static unsigned long long cid_of(const struct bh_draft *draft, uint32_t index)
{
    const struct bh_plan_class *class_ = draft->devices[index].class_;

    return class_ == NULL ? 0 : number_of(&draft->plan->devices[index], class_->cid);
}

void bh_check_cids(struct bh_draft *draft)
{
    struct bh_claim *claims = bh_check_room(draft, draft->plan->device_count, sizeof(*claims));
    size_t count = 0;

    for (uint32_t i = 0; claims != NULL && i < draft->plan->device_count; i++) {
        const struct bh_draft_device *device = &draft->devices[i];
        const unsigned long long cid = cid_of(draft, i);
        char *key = cid == 0 ? NULL : bh_arena_format(&draft->arena, "%llu", cid);

        if (key != NULL)
            claims[count++] = (struct bh_claim){
                key, device->node->path, &bh_tree_property(device->node, device->class_->cid)->where, i};
    }
    bh_check_claims(draft, claims, count, "the context ID", "give each guest one of its own, from 3 on");
}

static bool names(const struct bh_draft *draft, uint32_t index, unsigned long long cid)
{
    const struct bh_plan_device *device = &draft->plan->devices[index];
    const char *option = draft->devices[index].class_->peer;

    for (size_t i = 0; option != NULL && i < device->option_count; i++) {
        if (strcmp(device->options[i].name, option) == 0 &&
            strtoull(device->options[i].value, NULL, 0) == cid)
            return true;
    }
    return false;
}

static void check_peer(struct bh_draft *draft, uint32_t index, const char *text)
{
    const struct bh_draft_device *from = &draft->devices[index];
    const struct bh_diag_where *where = &bh_tree_property(from->node, from->class_->peer)->where;
    const unsigned long long cid = strtoull(text, NULL, 0);
    uint32_t other = 0;

    while (other < draft->plan->device_count && (cid == 0 || cid_of(draft, other) != cid))
        other++;
    if (other == draft->plan->device_count || other == index) {
        if (!draft->holes)
            bh_report_error(draft->report, where, NULL, "name the context ID of another domain's vsock",
                            "`%s` names %s, which is no other guest's context ID", from->class_->peer, text);
        return;
    }
    if (!names(draft, other, cid_of(draft, index)))
        bh_report_error(draft->report, where, &draft->devices[other].node->where,
                        "two guests that may talk name each other",
                        "%s is to talk to %s, which does not name it", from->node->path,
                        draft->devices[other].node->path);
}

void bh_check_peers(struct bh_draft *draft)
{
    for (uint32_t i = 0; i < draft->plan->device_count; i++) {
        const struct bh_plan_device *device = &draft->plan->devices[i];
        const struct bh_plan_class *class_ = draft->devices[i].class_;

        for (size_t k = 0; class_ != NULL && class_->peer != NULL && k < device->option_count; k++) {
            if (strcmp(device->options[k].name, class_->peer) == 0)
                check_peer(draft, i, device->options[k].value);
        }
    }
}
