/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a conformance run found, case by case, in the forms that people and machines read: text, TAP, JSON, JUnit.
 *
 * Threading: one thread.   Ownership: a report owns its results; names are static.   May block: it prints.
 */
#ifndef TESTS_CONFORMANCE_REPORT_H
#define TESTS_CONFORMANCE_REPORT_H

#include <stdbool.h>
#include <stddef.h>

enum conf_verdict { CONF_PASSED, CONF_FAILED, CONF_SKIPPED };
enum conf_form { CONF_TEXT, CONF_TAP, CONF_JSON };

struct conf_result {
    const char *ring, *features; /* "split", "all" */
    const char *name, *section;  /* of the case; of the specification */
    enum conf_verdict verdict;
    char why[256]; /* empty: nothing to be said */
};

struct conf_report {
    enum conf_form form;
    const char *class_name, *device; /* what was judged: a socket, a program, a transport in this process */
    struct conf_result *results;
    size_t count, room;
    unsigned verdicts[3]; /* by enum conf_verdict */
};

/* Keep a result (copied), and print it where the form goes line by line. */
void conf_report_add(struct conf_report *report, const struct conf_result *result);
/* Print what stands at the end; `junit` (NULL: none) is a file to be written. False: it cannot be. */
bool conf_report_end(const struct conf_report *report, const char *junit);
void conf_report_free(struct conf_report *report);

#endif
