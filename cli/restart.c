/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead restart`: stop and start one domain or device process of a running system.
 */
#include "cli/running.h"

#include <stdio.h>
#include <string.h>

struct restart_values {
    struct bh_running_values running;
    uint64_t timeout_s;
};

static const struct bh_option options[] = {
    {.name = "timeout",
     .type = BH_OPT_UINT,
     .offset = offsetof(struct restart_values, timeout_s),
     .def = "120",
     .unit = "s",
     .max = 86400,
     .help = "How long to wait until it is ready again",
     .cli_only = true},
    BH_RUNNING_OPTIONS(struct restart_values),
    {NULL},
};

/* Until the unit has been seen to leave ready and come back, or to fail. */
static int wait_for_return(struct bh_client *client, const char *name, uint64_t timeout_s)
{
    const uint64_t until = bh_loop_now() + timeout_s * 1000000000ull;
    bool left = false;
    while (bh_loop_now() < until) {
        json_t *event;
        const int err = bh_client_read(client, 500, &event);
        if (err == BH_ERR_TIMEOUT || err == BH_ERR_CANCELLED)
            continue;
        if (err)
            break;
        const bool ours =
            !strcmp(bh_text_of(event, "event"), "unit") && !strcmp(bh_text_of(event, "name"), name);
        const bool ready = ours && !strcmp(bh_text_of(event, "state"), "ready");
        const bool failed = ours && !strcmp(bh_text_of(event, "state"), "failed");
        if (ours && !ready)
            left = true;
        if (failed)
            bh_error(NULL, NULL, "`bulkhead logs` tells more", "%s failed: %s", name,
                     bh_text_of(event, "cause"));
        if (ready && left)
            printf("%s is ready after %.1f s\n", name, json_real_value(json_object_get(event, "seconds")));
        json_decref(event);
        if (failed || (ready && left))
            return failed ? BH_EXIT_FAILED : BH_EXIT_OK;
    }
    bh_error(NULL, NULL, "`bulkhead ps` shows its state", "%s is not ready again", name);
    return BH_EXIT_FAILED;
}

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    struct restart_values values = {0};
    struct bh_client client;
    const char *name;
    json_t *answer;
    size_t word_count;
    if (bh_verb_parse(verb, argc, argv, &values, &name, 1, 1, &word_count))
        return BH_EXIT_USAGE;
    int err = bh_client_connect(&client, values.running.run_dir, values.running.system, NULL);
    int code = bh_exit_of(err);
    if (!err) {
        code = BH_EXIT_NOT_RUNNING;
        if (!bh_ask(&client, "restart", json_pack("{s:s}", "name", name), &answer)) {
            /* What events call it: linux-a.disk, also where linux-a/disk was typed. */
            code = wait_for_return(&client, bh_text_of(answer, "name"), values.timeout_s);
            json_decref(answer);
        }
        bh_client_close(&client);
    }
    bh_options_fini(verb->options, &values);
    return code;
}

const struct bh_verb bh_verb_restart = {
    .name = "restart",
    .words = "NAME",
    .summary = "Stop and start one domain or device",
    .text = "NAME is a domain (linux-a) or one of its devices (linux-a.disk, linux-a/disk). A device goes on "
            "from "
            "what it left to be kept, with the\n"
            "program that is there now, and its domain does not notice; one that left nothing takes its "
            "domain along.\n"
            "What had failed for good starts again, and its count of restarts begins anew.",
    .options = options,
    .run = run,
};
