/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report as Prometheus' text: metric by metric, each with its help and type, one line a device or queue.
 *
 * Names of counters come from the device processes, of which one may be in a guest's hands: what is no name of a
 * metric is left out, and labels are escaped.
 */
#include "daemon/metrics.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool is_name(const char *key)
{
    return key[0] && strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(key);
}

static void put_label(FILE *to, const char *name, const char *value, const char *before)
{
    fprintf(to, "%s%s=\"", before, name);
    for (const char *c = value; *c; c++) {
        if (*c == '\\' || *c == '"')
            fprintf(to, "\\%c", *c);
        else
            fputc(*c == '\n' ? ' ' : *c, to);
    }
    fputc('"', to);
}

static void put_head(FILE *to, const char *type, const char *metric, const char *help)
{
    fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
}

/* "METRIC{system=...,device=...", to be closed by put_value. */
static void put_device(FILE *to, const char *metric, const json_t *report, const json_t *device)
{
    fputs(metric, to);
    put_label(to, "system", text_of(report, "system"), "{");
    put_label(to, "domain", text_of(device, "domain"), ",");
    put_label(to, "device", text_of(device, "name"), ",");
    put_label(to, "class", text_of(device, "class"), ",");
}

static void put_value(FILE *to, const json_t *value)
{
    fprintf(to, "} %" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
}

/* --- the units --------------------------------------------------------------------------------------------- */

static void put_units(FILE *to, const json_t *report, const char *metric, const char *key)
{
    const json_t *unit, *value;
    size_t index;
    json_array_foreach(json_object_get(report, "units"), index, unit)
    {
        value = json_object_get(unit, key);
        fputs(metric, to);
        put_label(to, "system", text_of(report, "system"), "{");
        put_label(to, "name", text_of(unit, "name"), ",");
        put_label(to, "kind", text_of(unit, "kind"), ",");
        if (json_is_integer(value))
            put_value(to, value);
        else
            fprintf(to, "} %d\n", json_is_true(value));
    }
}

static void put_answers(FILE *to, const json_t *report)
{
    const json_t *device;
    size_t index;
    json_array_foreach(json_object_get(report, "devices"), index, device)
    {
        put_device(to, "bulkhead_device_answers", report, device);
        fprintf(to, "} %d\n", json_object_get(device, "counters") != NULL);
    }
}

/* --- the queues -------------------------------------------------------------------------------------------- */

static const struct {
    const char *metric, *key, *help;
} queue_metrics[] = {
    {"bulkhead_queue_requests_total", "requests", "Descriptor chains taken from the driver."},
    {"bulkhead_queue_out_bytes_total", "bytes_out", "Bytes from the driver."},
    {"bulkhead_queue_in_bytes_total", "bytes_in", "Bytes for the driver."},
    {"bulkhead_queue_kicks_total", "kicks", "Notifications from the driver."},
    {"bulkhead_queue_notifications_total", "notifications", "Notifications sent to the driver."},
    {"bulkhead_queue_suppressed_total", "suppressed", "Notifications that the driver did not want."},
    {"bulkhead_queue_pending_total", "pending", "Times a translation was waited for."},
};

static void put_queue(FILE *to, const char *metric, const json_t *report, const json_t *device, size_t index)
{
    char number[24];
    snprintf(number, sizeof(number), "%zu", index);
    put_device(to, metric, report, device);
    put_label(to, "queue", number, ",");
}

static void put_queues(FILE *to, const json_t *report, const char *metric, const char *key)
{
    const json_t *device, *queue;
    size_t d, q;
    json_array_foreach(json_object_get(report, "devices"), d, device)
    {
        json_array_foreach(json_object_get(json_object_get(device, "counters"), "queues"), q, queue)
        {
            put_queue(to, metric, report, device, q);
            put_value(to, json_object_get(queue, key));
        }
    }
}

static void put_broken(FILE *to, const json_t *report)
{
    const json_t *device, *queue;
    const char *reason;
    json_t *count;
    size_t d, q;
    json_array_foreach(json_object_get(report, "devices"), d, device)
    {
        json_array_foreach(json_object_get(json_object_get(device, "counters"), "queues"), q, queue)
        {
            json_object_foreach(json_object_get(queue, "broken"), reason, count)
            {
                put_queue(to, "bulkhead_queue_broken_total", report, device, q);
                put_label(to, "reason", reason, ",");
                put_value(to, count);
            }
        }
    }
}

/* --- a switch's ports -------------------------------------------------------------------------------------- */

static const struct {
    const char *metric, *key, *help;
} port_metrics[] = {
    {"bulkhead_switch_frames_in_total", "frames_in", "Frames that came in at the port."},
    {"bulkhead_switch_in_bytes_total", "bytes_in", "Their bytes."},
    {"bulkhead_switch_frames_out_total", "frames_out", "Frames that went out at the port."},
    {"bulkhead_switch_out_bytes_total", "bytes_out", "Their bytes."},
    {"bulkhead_switch_flooded_total", "flooded", "Frames from the port that went to all others."},
    {"bulkhead_switch_wrong_vlan_total", "wrong_vlan", "Dropped: of a VLAN that the port is not in."},
    {"bulkhead_switch_foreign_mac_total", "foreign_mac", "Dropped: from an address that is not the port's."},
    {"bulkhead_switch_malformed_total", "malformed", "Dropped: no frame."},
    {"bulkhead_switch_full_total", "full", "Dropped: the port took no more."},
    {"bulkhead_switch_slowed_total", "slowed", "Times the port's frames waited for its rate."},
};

static void put_ports(FILE *to, const json_t *report, const char *metric, const char *key)
{
    const json_t *device, *port;
    size_t d, p;
    json_array_foreach(json_object_get(report, "devices"), d, device)
    {
        json_array_foreach(json_object_get(json_object_get(device, "counters"), "ports"), p, port)
        {
            put_device(to, metric, report, device);
            put_label(to, "port", text_of(port, "name"), ",");
            put_value(to, json_object_get(port, key));
        }
    }
}

/* --- counters by their own names --------------------------------------------------------------------------- */

/* The device's `group`, when its metric begins with that word: a class's own counters are called by the class. */
static json_t *group_of(const json_t *device, const char *group, const char *word)
{
    const bool own = strcmp(group, "class") == 0;
    return !own || !strcmp(text_of(device, "class"), word)
               ? json_object_get(json_object_get(device, "counters"), group)
               : NULL;
}

/* The metric of one key, for every device from `first` on. */
static void put_family(FILE *to, const json_t *report, const char *group, const char *word, const char *key,
                       size_t first)
{
    const json_t *devices = json_object_get(report, "devices");
    char metric[128];
    snprintf(metric, sizeof(metric), "bulkhead_%s_%s_total", word, key);
    put_head(to, "counter", metric, "See docs/control.md.");
    for (size_t i = first; i < json_array_size(devices); i++) {
        const json_t *value = json_object_get(group_of(json_array_get(devices, i), group, word), key);
        if (!json_is_integer(value))
            continue;
        put_device(to, metric, report, json_array_get(devices, i));
        put_value(to, value);
    }
}

static bool came_before(const json_t *devices, size_t index, const char *group, const char *word,
                        const char *key)
{
    for (size_t i = 0; i < index; i++)
        if (json_object_get(group_of(json_array_get(devices, i), group, word), key))
            return true;
    return false;
}

static void put_group(FILE *to, const json_t *report, const char *group)
{
    const json_t *devices = json_object_get(report, "devices"), *device;
    const char *key;
    json_t *value;
    size_t index;
    json_array_foreach(devices, index, device)
    {
        const char *word = strcmp(group, "class") != 0 ? group : text_of(device, "class");
        json_object_foreach(group_of(device, group, word), key, value)
        {
            if (is_name(word) && is_name(key) && strlen(word) + strlen(key) < 100 &&
                !came_before(devices, index, group, word, key))
                put_family(to, report, group, word, key, index);
        }
    }
}

char *metrics_text(const json_t *report)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return NULL;
    put_head(to, "gauge", "bulkhead_unit_ready", "Whether a domain or device process is ready.");
    put_units(to, report, "bulkhead_unit_ready", "ready");
    put_head(to, "counter", "bulkhead_unit_restarts_total", "Restarts of a domain or device process.");
    put_units(to, report, "bulkhead_unit_restarts_total", "restarts");
    put_head(to, "gauge", "bulkhead_device_answers", "Whether a device process tells what it counts.");
    put_answers(to, report);
    for (size_t i = 0; i < sizeof(queue_metrics) / sizeof(queue_metrics[0]); i++) {
        put_head(to, "counter", queue_metrics[i].metric, queue_metrics[i].help);
        put_queues(to, report, queue_metrics[i].metric, queue_metrics[i].key);
    }
    put_head(to, "counter", "bulkhead_queue_broken_total", "Times a queue was given up.");
    put_broken(to, report);
    for (size_t i = 0; i < sizeof(port_metrics) / sizeof(port_metrics[0]); i++) {
        put_head(to, "counter", port_metrics[i].metric, port_metrics[i].help);
        put_ports(to, report, port_metrics[i].metric, port_metrics[i].key);
    }
    put_group(to, report, "device");
    put_group(to, report, "transport");
    put_group(to, report, "class");
    if (fclose(to)) {
        free(text);
        return NULL;
    }
    return text;
}
