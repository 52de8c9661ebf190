/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan as JSON. Things refer to one another by name here, not by index, so that a person can read it; what
 * follows from the rest (counts, sums) is left out. Addresses and sizes are strings, "0x40000000": JSON's numbers
 * are not good for 64 bits everywhere. plan_parse.c reads it back.
 *
 * Errors of jansson are errors of memory here: every _new function takes over what it is given, even when it
 * fails, and a failure anywhere leaves a NULL or a missing key, found by `failed`.
 */
#include "plan/plan.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct writer {
    const struct bh_plan *plan;
    bool failed;
};

static void put(struct writer *writer, json_t *object, const char *key, json_t *value)
{
    if (value == NULL || json_object_set_new(object, key, value) != 0)
        writer->failed = true;
}

static void put_text(struct writer *writer, json_t *object, const char *key, const char *text)
{
    if (text != NULL) /* absent: not said */
        put(writer, object, key, json_string(text));
}

static void put_number(struct writer *writer, json_t *object, const char *key, uint32_t number)
{
    put(writer, object, key, json_integer(number));
}

static void put_address(struct writer *writer, json_t *object, const char *key, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "0x%" PRIx64, value);
    put(writer, object, key, json_string(text));
}

/* A new array under `key`; NULL when memory ran out. */
static json_t *put_array(struct writer *writer, json_t *object, const char *key)
{
    json_t *array = json_array();

    put(writer, object, key, array);
    return writer->failed ? NULL : array;
}

static json_t *append_object(struct writer *writer, json_t *array)
{
    json_t *object = json_object();

    if (array == NULL || object == NULL || json_array_append_new(array, object) != 0) {
        writer->failed = true;
        return NULL;
    }
    return object;
}

static void append_text(struct writer *writer, json_t *array, const char *text)
{
    if (array == NULL || json_array_append_new(array, json_string(text)) != 0)
        writer->failed = true;
}

static void write_options(struct writer *writer, json_t *object, const struct bh_plan_option *options,
                          size_t count)
{
    json_t *array = put_array(writer, object, "options");

    for (size_t i = 0; i < count; i++) {
        json_t *option = append_object(writer, array);

        put_text(writer, option, "name", options[i].name);
        put_text(writer, option, "value", options[i].value);
    }
}

static void write_device(struct writer *writer, json_t *array, const struct bh_plan_device *device)
{
    json_t *object = append_object(writer, array);

    put_text(writer, object, "name", device->name);
    put_text(writer, object, "node", device->node);
    put_number(writer, object, "line", device->line);
    put_text(writer, object, "class", device->class_name);
    put_number(writer, object, "virtio-id", device->virtio_id);
    put_text(writer, object, "place", "process");
    put_text(writer, object, "transport", "vhost-user");
    put_text(writer, object, "socket", device->socket);
    if (device->folder != NULL)
        put_text(writer, object, "folder", device->folder);
    if (device->console)
        put_text(writer, object, "terminal", "daemon");
    put_number(writer, object, "pci-slot", device->pci_slot);
    if (device->link != BH_PLAN_NONE)
        put_text(writer, object, "link", writer->plan->links[device->link].name);
    if (device->net_switch != BH_PLAN_NONE)
        put_text(writer, object, "switch", writer->plan->switches[device->net_switch].name);
    write_options(writer, object, device->options, device->option_count);
    if (device->program != NULL) {
        json_t *arguments;

        put_text(writer, object, "program", device->program);
        arguments = put_array(writer, object, "arguments");
        for (size_t i = 0; i < device->argument_count; i++)
            append_text(writer, arguments, device->arguments[i]);
        arguments = put_array(writer, object, "keeps");
        for (size_t i = 0; i < device->keep_count; i++)
            append_text(writer, arguments, device->keeps[i]);
    }
}

static void write_resources(struct writer *writer, json_t *object, const struct bh_plan_domain *domain)
{
    json_t *cpus = put_array(writer, object, "cpus"), *memory;

    for (size_t i = 0; i < domain->cpus_count; i++) {
        json_t *entry = append_object(writer, cpus);

        put_text(writer, entry, "cluster", domain->cpus[i].cluster);
        put_number(writer, entry, "mask", domain->cpus[i].mask);
        put_number(writer, entry, "exec-level", domain->cpus[i].exec_level);
    }
    memory = put_array(writer, object, "memory");
    for (size_t i = 0; i < domain->memory_count; i++) {
        json_t *entry = append_object(writer, memory);

        put_address(writer, entry, "host", domain->memory[i].host);
        put_address(writer, entry, "guest", domain->memory[i].guest);
        put_address(writer, entry, "size", domain->memory[i].size);
    }
}

static void write_restart(struct writer *writer, json_t *object, enum bh_plan_restart policy, uint32_t limit,
                          uint32_t window_ms)
{
    json_t *restart = json_object();

    put(writer, object, "restart", restart);
    put_text(writer, restart, "policy", bh_plan_restart_name(policy));
    put_number(writer, restart, "limit", limit);
    put_number(writer, restart, "window-ms", window_ms);
}

static void write_life(struct writer *writer, json_t *object, const struct bh_plan_domain *domain)
{
    json_t *after = put_array(writer, object, "after"), *engines, *ready = json_object();

    for (size_t i = 0; i < domain->after_count; i++)
        append_text(writer, after, writer->plan->domains[domain->after[i]].name);
    put(writer, object, "ready", ready);
    put_text(writer, ready, "kind", bh_plan_ready_name(domain->ready.kind));
    if (domain->ready.console != BH_PLAN_NONE)
        put_text(writer, ready, "console", writer->plan->devices[domain->ready.console].name);
    put_text(writer, ready, "pattern", domain->ready.pattern);
    put_number(writer, ready, "timeout-ms", domain->ready.timeout_ms);
    write_restart(writer, object, domain->restart, domain->restart_limit, domain->restart_window_ms);
    engines = put_array(writer, object, "excluded-engines");
    for (size_t i = 0; i < domain->excluded_engine_count; i++)
        append_text(writer, engines, domain->excluded_engines[i]);
}

static void write_domain(struct writer *writer, json_t *array, const struct bh_plan_domain *domain)
{
    json_t *object = append_object(writer, array), *devices;

    put_text(writer, object, "name", domain->name);
    put_text(writer, object, "node", domain->node);
    put_number(writer, object, "line", domain->line);
    put_number(writer, object, "id", domain->id);
    put_text(writer, object, "kind", "vm");
    put_text(writer, object, "arch", bh_plan_arch_name(domain->arch));
    put_text(writer, object, "os-type", domain->os_type);
    put_text(writer, object, "kernel", domain->kernel);
    put_text(writer, object, "ramdisk", domain->ramdisk);
    put_text(writer, object, "bootargs", domain->bootargs);
    write_resources(writer, object, domain);
    write_life(writer, object, domain);
    devices = put_array(writer, object, "devices");
    for (uint32_t i = 0; i < domain->device_count; i++)
        write_device(writer, devices, &writer->plan->devices[domain->device_first + i]);
}

/* "DOMAIN/DEVICE" */
static json_t *spell_end(const struct writer *writer, uint32_t index)
{
    const struct bh_plan_device *device = &writer->plan->devices[index];

    return json_sprintf("%s/%s", writer->plan->domains[device->domain].name, device->name);
}

static void append_end(struct writer *writer, json_t *array, uint32_t device)
{
    json_t *text = spell_end(writer, device);

    if (array == NULL || text == NULL || json_array_append_new(array, text) != 0)
        writer->failed = true;
}

static void write_switch(struct writer *writer, json_t *array, const struct bh_plan_switch *one)
{
    json_t *object = append_object(writer, array), *ports;

    put_text(writer, object, "name", one->name);
    put_text(writer, object, "node", one->node);
    put_number(writer, object, "line", one->line);
    write_options(writer, object, one->options, one->option_count);
    write_restart(writer, object, one->restart, one->restart_limit, one->restart_window_ms);
    ports = put_array(writer, object, "ports");
    for (size_t i = 0; i < one->port_count; i++) {
        json_t *port = append_object(writer, ports);

        put(writer, port, "device", spell_end(writer, one->ports[i].device));
        put_text(writer, port, "words", one->ports[i].words);
        put_text(writer, port, "socket", one->ports[i].socket);
    }
}

static void write_system(struct writer *writer, json_t *root)
{
    const struct bh_plan *plan = writer->plan;
    json_t *array;

    put_number(writer, root, "bulkhead-plan", BH_PLAN_VERSION);
    put_text(writer, root, "name", plan->name);
    put_text(writer, root, "source", plan->source);
    array = put_array(writer, root, "domains");
    for (size_t i = 0; i < plan->domain_count; i++)
        write_domain(writer, array, &plan->domains[i]);
    array = put_array(writer, root, "links");
    for (size_t i = 0; i < plan->link_count; i++) {
        const struct bh_plan_link *link = &plan->links[i];
        json_t *object = append_object(writer, array), *ends;

        put_text(writer, object, "name", link->name);
        put_text(writer, object, "node", link->node);
        put_number(writer, object, "line", link->line);
        put_text(writer, object, "socket", link->socket);
        ends = put_array(writer, object, "ends");
        append_end(writer, ends, link->device[0]);
        append_end(writer, ends, link->device[1]);
    }
    array = put_array(writer, root, "switches");
    for (size_t i = 0; i < plan->switch_count; i++)
        write_switch(writer, array, &plan->switches[i]);
    array = put_array(writer, root, "creates");
    for (size_t i = 0; i < plan->create_count; i++) {
        json_t *object = append_object(writer, array);

        put_text(writer, object, "path", plan->creates[i].path);
        put_address(writer, object, "size", plan->creates[i].size);
    }
    array = put_array(writer, root, "start-order");
    for (size_t i = 0; i < plan->domain_count; i++)
        append_text(writer, array, plan->domains[plan->start_order[i]].name);
}

int bh_plan_to_json(const struct bh_plan *plan, char **text)
{
    struct writer writer = {.plan = plan};
    json_t *root = json_object();
    char *dump = NULL, *line;
    size_t length;

    if (root != NULL)
        write_system(&writer, root);
    if (root != NULL && !writer.failed)
        dump = json_dumps(root, JSON_SORT_KEYS | JSON_INDENT(2));
    json_decref(root);
    if (dump == NULL)
        return BH_ERR_NOMEM;
    length = strlen(dump);
    line = realloc(dump, length + 2);
    if (line == NULL) {
        free(dump);
        return BH_ERR_NOMEM;
    }
    memcpy(line + length, "\n", 2);
    *text = line;
    return BH_OK;
}
