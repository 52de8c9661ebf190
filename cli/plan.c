/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead plan FILE`: what would run, where, in which order; as text for a person or as the plan's JSON.
 */
#include "cli/plan_classes.h"
#include "cli/verb.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const struct bh_option options[] = {
    BH_REPORT_OPTIONS("print the plan in its canonical form"),
};

static void print_device(const struct bh_plan *plan, const struct bh_plan_device *device)
{
    printf("  %-12s %-8s slot %-2u", device->name, device->class_name, device->pci_slot);
    for (size_t i = 0; i < device->option_count; i++)
        printf(" --%s=%s", device->options[i].name, device->options[i].value);
    if (device->program)
        printf(" by %s", device->program);
    for (size_t i = 0; i < device->argument_count; i++)
        printf(" %s", device->arguments[i]);
    if (device->link != BH_PLAN_NONE)
        printf(" on %s", plan->links[device->link].name);
    if (device->net_switch != BH_PLAN_NONE)
        printf(" on %s", plan->switches[device->net_switch].name);
    putchar('\n');
}

static void print_ready(const struct bh_plan *plan, const struct bh_plan_domain *domain)
{
    const struct bh_plan_ready *ready = &domain->ready;

    if (ready->kind == BH_PLAN_READY_STARTED)
        printf("  ready        as soon as its CPUs run\n");
    else
        printf("  ready        when %s says \"%s\", within %g s\n",
               ready->console == BH_PLAN_NONE ? "the early console" : plan->devices[ready->console].name,
               ready->pattern, ready->timeout_ms / 1000.0);
}

static void print_domain(const struct bh_plan *plan, const struct bh_plan_domain *domain)
{
    printf("\n%s (id %u): %u CPU%s, %" PRIu64 " MiB, %s\n", domain->name, domain->id, domain->cpu_count,
           domain->cpu_count == 1 ? "" : "s", domain->memory_size >> 20, bh_plan_arch_name(domain->arch));
    for (size_t i = 0; i < domain->memory_count; i++)
        printf("  memory       0x%" PRIx64 " of the machine at 0x%" PRIx64 ", 0x%" PRIx64 " bytes\n",
               domain->memory[i].host, domain->memory[i].guest, domain->memory[i].size);
    printf("  kernel       %s\n", domain->kernel);
    if (domain->ramdisk)
        printf("  ramdisk      %s\n", domain->ramdisk);
    for (size_t i = 0; i < domain->after_count; i++)
        printf("  after        %s\n", plan->domains[domain->after[i]].name);
    print_ready(plan, domain);
    if (domain->restart != BH_PLAN_RESTART_NEVER)
        printf("  restart      %s, at most %u times in %g s\n", bh_plan_restart_name(domain->restart),
               domain->restart_limit, domain->restart_window_ms / 1000.0);
    for (uint32_t i = 0; i < domain->device_count; i++)
        print_device(plan, &plan->devices[domain->device_first + i]);
}

static void print_switch(const struct bh_plan *plan, const struct bh_plan_switch *one)
{
    printf("\nswitch %s, before the domains at it:", one->name);
    for (size_t i = 0; i < one->option_count; i++)
        printf(" --%s=%s", one->options[i].name, one->options[i].value);
    putchar('\n');
    for (size_t i = 0; i < one->port_count; i++) {
        const struct bh_plan_device *device = &plan->devices[one->ports[i].device];

        printf("  %s/%s: %s\n", plan->domains[device->domain].name, device->name, one->ports[i].words);
    }
    printf("  restart      %s, at most %u times in %g s\n", bh_plan_restart_name(one->restart),
           one->restart_limit, one->restart_window_ms / 1000.0);
}

static void print_plan(const struct bh_plan *plan)
{
    printf("%s: %zu domain%s, %zu device%s, started in this order\n", plan->name, plan->domain_count,
           plan->domain_count == 1 ? "" : "s", plan->device_count, plan->device_count == 1 ? "" : "s");
    for (size_t i = 0; i < plan->domain_count; i++)
        print_domain(plan, &plan->domains[plan->start_order[i]]);
    if (plan->link_count)
        putchar('\n');
    for (size_t i = 0; i < plan->link_count; i++) {
        const struct bh_plan_device *one = &plan->devices[plan->links[i].device[0]];
        const struct bh_plan_device *two = &plan->devices[plan->links[i].device[1]];

        printf("link %s: %s/%s - %s/%s\n", plan->links[i].name, plan->domains[one->domain].name, one->name,
               plan->domains[two->domain].name, two->name);
    }
    for (size_t i = 0; i < plan->switch_count; i++)
        print_switch(plan, &plan->switches[i]);
}

static int print_json(const struct bh_plan *plan)
{
    char *text = NULL;
    int err = bh_plan_to_json(plan, &text);

    if (err == BH_OK)
        fputs(text, stdout);
    else
        bh_error(NULL, NULL, NULL, "cannot write the plan: %s", bh_err_text(err));
    free(text);
    return err;
}

static int show(const struct bh_report_values *values, const char *file)
{
    struct bh_plan *plan = NULL;
    int err = bh_plan_of_words(&values->words, file, NULL, &plan);

    if (err == BH_OK && values->json)
        err = print_json(plan);
    else if (err == BH_OK)
        print_plan(plan);
    if (fflush(stdout) != 0 || ferror(stdout))
        err = BH_ERR_IO;
    bh_plan_free(plan);
    return err;
}

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    return bh_report_run(verb, argc, argv, show);
}

const struct bh_verb bh_verb_plan = {
    .name = "plan",
    .words = "SYSTEM.dts",
    .summary = "Show what a description would run, where and in which order",
    .text = "Checks the description as `bulkhead check` does, then shows the plan that `bulkhead up` would "
            "bring up. "
            "With --json it is the plan's canonical form, as it stands in the run directory; the three verbs "
            "take such a "
            "file (.json) in the place of a description, on a machine without dtc, say.",
    .options = options,
    .run = run,
};
