/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report's forms. Text says only what is not as it should be, and counts the rest.
 */
#include "tests/conformance/report.h"

#include <bulkhead/impl/text.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const verdict_words[] = {"passed", "failed", "skipped"};

static void print_tap(const struct conf_report *report, const struct conf_result *result)
{
    const bool failed = result->verdict == CONF_FAILED;
    printf("%s %zu - %s: %s", failed ? "not ok" : "ok", report->count, result->features, result->name);
    if (result->verdict == CONF_SKIPPED)
        printf(" # SKIP %s\n", result->why);
    else
        printf(" [%s]\n%s%s%s", result->section, result->why[0] ? "# " : "", result->why,
               result->why[0] ? "\n" : "");
}

static void print_text(const struct conf_report *report, const struct conf_result *result)
{
    if (result->verdict == CONF_FAILED)
        printf("%s%s, %s: %s [%s]\n    %s\n", isatty(STDOUT_FILENO) ? "\r\033[K" : "", result->ring,
               result->features, result->name, result->section, result->why);
    if (isatty(STDOUT_FILENO))
        printf("\r\033[K%zu: %s", report->count, result->name);
}

void conf_report_add(struct conf_report *report, const struct conf_result *result)
{
    if (report->count == report->room) {
        const size_t room = report->room ? report->room * 2 : 256;
        struct conf_result *results = reallocarray(report->results, room, sizeof(*results));
        if (!results)
            abort(); /* a test program without memory has nothing to tell */
        report->results = results;
        report->room = room;
    }
    report->results[report->count++] = *result;
    report->verdicts[result->verdict]++;
    if (report->form == CONF_TAP)
        print_tap(report, result);
    else if (report->form == CONF_TEXT)
        print_text(report, result);
    fflush(stdout);
}

static void print_json(const struct conf_report *report)
{
    json_t *results = json_array();
    for (size_t i = 0; i < report->count; i++) {
        const struct conf_result *result = &report->results[i];
        json_array_append_new(results,
                              json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "ring", result->ring, "features",
                                        result->features, "case", result->name, "section", result->section,
                                        "verdict", verdict_words[result->verdict], "why", result->why));
    }
    json_t *whole =
        json_pack("{s:i, s:s, s:s, s:i, s:i, s:i, s:o}", "version", 1, "class", report->class_name, "device",
                  report->device, "passed", (int)report->verdicts[CONF_PASSED], "failed",
                  (int)report->verdicts[CONF_FAILED], "skipped", (int)report->verdicts[CONF_SKIPPED],
                  "results", results);
    json_dumpf(whole, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(whole);
}

static bool write_junit(const struct conf_report *report, const char *path)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return false;
    fprintf(file,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuite name=\"virtio-%s\" tests=\"%zu\" failures=\"%u\" skipped=\"%u\">\n",
            report->class_name, report->count, report->verdicts[CONF_FAILED], report->verdicts[CONF_SKIPPED]);
    for (size_t i = 0; i < report->count; i++) {
        const struct conf_result *result = &report->results[i];
        fprintf(file, "  <testcase classname=\"%s.%s.%s\" name=\"%s [", report->class_name, result->ring,
                result->features, result->name);
        bh_text_put_markup(file, result->section);
        fputs("]\">", file);
        if (result->verdict != CONF_PASSED) {
            fprintf(file, "<%s message=\"", result->verdict == CONF_FAILED ? "failure" : "skipped");
            bh_text_put_markup(file, result->why);
            fputs("\"/>", file);
        }
        fputs("</testcase>\n", file);
    }
    fputs("</testsuite>\n", file);
    const bool written = !ferror(file);
    return fclose(file) == 0 && written;
}

bool conf_report_end(const struct conf_report *report, const char *junit)
{
    switch (report->form) {
    case CONF_TAP: printf("1..%zu\n", report->count); break;
    case CONF_JSON: print_json(report); break;
    case CONF_TEXT:
        printf("%svirtio-%s at %s: %u passed, %u failed, %u skipped\n",
               isatty(STDOUT_FILENO) ? "\r\033[K" : "", report->class_name, report->device,
               report->verdicts[CONF_PASSED], report->verdicts[CONF_FAILED], report->verdicts[CONF_SKIPPED]);
        break;
    }
    return !junit || write_junit(report, junit);
}

void conf_report_free(struct conf_report *report)
{
    free(report->results);
    report->results = NULL;
}
