/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead check FILE`: is the description right? Its errors, as text on standard error or as one JSON object on
 * standard output.
 */
#include "cli/plan_classes.h"
#include "cli/verb.h"

#include <jansson.h>
#include <stdio.h>

static const struct bh_option options[] = {
    BH_REPORT_OPTIONS("print one JSON object: ok, errors, warnings, diagnostics"),
};

/* Diagnostics as an array of objects; an object that memory ran out for is left out, the counts are right. */
struct collector {
    struct bh_diag_sink sink;
    json_t *array;
};

static void put_text(json_t *object, const char *key, const char *text)
{
    if (text)
        json_object_set_new(object, key, json_string(text));
}

static void put_where(json_t *object, const struct bh_diag_where *where)
{
    put_text(object, "file", where->file);
    if (where->line)
        json_object_set_new(object, "line", json_integer(where->line));
    if (where->column)
        json_object_set_new(object, "column", json_integer(where->column));
    put_text(object, "node", where->node);
}

static void collect(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    static const char *const levels[] = {"error", "warning", "note", "debug"};
    struct collector *collector = (struct collector *)(void *)sink;
    json_t *object = json_object();

    put_text(object, "level", levels[diag->level]);
    put_text(object, "what", diag->what);
    put_text(object, "hint", diag->hint);
    put_where(object, &diag->where);
    if (diag->other.file || diag->other.node) {
        json_t *other = json_object();

        put_where(other, &diag->other);
        json_object_set_new(object, "other", other);
    }
    json_array_append_new(collector->array, object);
}

static int check_json(const struct bh_report_values *values, const char *file)
{
    struct collector collector = {.sink.emit = collect, .array = json_array()};
    int err = bh_plan_of_words(&values->words, file, &collector.sink, NULL);
    json_t *root = json_object();

    json_object_set_new(root, "ok", json_boolean(err == BH_OK));
    json_object_set_new(root, "errors", json_integer(collector.sink.error_count));
    json_object_set_new(root, "warnings", json_integer(collector.sink.warning_count));
    json_object_set_new(root, "diagnostics", collector.array);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
    putchar('\n');
    json_decref(root);
    return err;
}

static int check(const struct bh_report_values *values, const char *file)
{
    int err = values->json ? check_json(values, file) : bh_plan_of_words(&values->words, file, NULL, NULL);

    if (err == BH_OK && !values->json)
        bh_note(NULL, "%s: no errors", file);
    return err;
}

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    return bh_report_run(verb, argc, argv, check);
}

const struct bh_verb bh_verb_check = {
    .name = "check",
    .words = "SYSTEM.dts",
    .summary = "Check a description, and name every error with its place",
    .text = "Reads a System Device Tree, as source (.dts, through dtc) or blob (.dtb), and checks that all "
            "that it "
            "asks for can be had: memory, cores, images, addresses, ports, devices, links, an order of "
            "starting. Every "
            "error is reported, with file and line (for a blob: the node), with the other place where two "
            "collide, and "
            "with what to do. Nothing is started or written.",
    .options = options,
    .run = run,
};
