/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Did you mean": the nearest of some names to a misspelt word, for options, verbs and properties.
 */
#include <bulkhead/impl/option.h>

#include <string.h>

enum { WORD_MAX = 64 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Edits (insert, drop, change, swap two neighbours) that lead from a to b; WORD_MAX when either is too long. */
static unsigned distance(const char *a, const char *b)
{
    const size_t a_length = strlen(a), b_length = strlen(b);
    unsigned rows[3][WORD_MAX + 1]; /* before the last, the last, this one */
    if (a_length > WORD_MAX || b_length > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= b_length; j++)
        rows[1][j] = (unsigned)j;
    for (size_t i = 1; i <= a_length; i++) {
        rows[2][0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            const unsigned change = rows[1][j - 1] + (a[i - 1] != b[j - 1]);
            unsigned best = least(change, least(rows[1][j], rows[2][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = least(best, rows[0][j - 2] + 1);
            rows[2][j] = best;
        }
        memcpy(rows[0], rows[1], sizeof(rows[0]));
        memcpy(rows[1], rows[2], sizeof(rows[1]));
    }
    return rows[1][b_length];
}

const char *bh_did_you_mean(const char *word, const char *const *names, size_t count)
{
    /* One edit in a short word, about one in three letters of a long one: more is no misspelling. */
    const unsigned limit = strlen(word) < 3 ? 1 : (unsigned)(strlen(word) + 2) / 3;
    const char *nearest = NULL;
    unsigned nearest_edits = limit + 1;
    for (size_t i = 0; i < count; i++) {
        const unsigned edits = distance(word, names[i]);
        if (edits < nearest_edits) {
            nearest = names[i];
            nearest_edits = edits;
        }
    }
    return nearest;
}
