/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report of counters that anybody wrote, as Prometheus' text: whatever the names and labels are, each line is a
 * comment of ours or one value of one metric.
 */
#include "daemon/metrics.h"
#include "tests/fuzz/target.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void check_value(const char *line, const char *end)
{
    bool quoted = false;
    const char *at = line + strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (strncmp(line, "bulkhead_", 9) != 0 || *at != '{')
        abort();
    for (at++; at < end && (quoted || *at != '}'); at++) {
        if (quoted && *at == '\\')
            at++;
        else if (*at == '"')
            quoted = !quoted;
    }
    if (at + 3 > end || at[1] != ' ')
        abort();
    at += at[2] == '-' ? 3 : 2;
    for (; at < end; at++)
        if (!isdigit((unsigned char)*at))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *report = json_loadb((const char *)data, size, 0, NULL);
    char *text = metrics_text(report), *end;
    if (!text)
        abort();
    for (const char *line = text; *line; line = end + 1) {
        end = strchr(line, '\n');
        if (!end)
            abort();
        if (strncmp(line, "# HELP bulkhead_", 16) != 0 && strncmp(line, "# TYPE bulkhead_", 16) != 0)
            check_value(line, end);
    }
    free(text);
    json_decref(report);
    return 0;
}
