/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every broken tree under tests/trees against the exact text that the checker says of it: NAME.dts beside
 * NAME.expect. Trees whose name begins with "good" have none: they must be silent.
 *
 * Run with BULKHEAD_PRINT=1 it prints what it got, to be read and kept by a person who adds a tree.
 */
#include "tests/unit/plan_rig.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char **trees;
static size_t tree_count;

static int is_tree(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return length > 4 && strcmp(entry->d_name + length - 4, ".dts") == 0;
}

static bool check_tree(const char *tree)
{
    struct bh_plan *plan = NULL;
    char expect_file[300];
    size_t size = 0;
    int err = BH_OK;
    char *got = plan_rig_run(tree, &err, &plan), *expect;
    bool same;

    snprintf(expect_file, sizeof(expect_file), "%.*s.expect", (int)(strlen(tree) - 4), tree);
    expect = plan_rig_read(expect_file, &size);
    assert_non_null(got);
    same = strcmp(got, expect == NULL ? "" : expect) == 0 &&
           (expect == NULL) == (strncmp(tree, "good", 4) == 0) && (err == BH_OK) == (expect == NULL) &&
           (plan != NULL) == (err == BH_OK);
    if (getenv("BULKHEAD_PRINT") != NULL)
        printf("== %s\n%s", expect_file, got);
    else if (!same)
        print_error("%s (%d): got\n%sexpected\n%s\n", tree, err, got, expect == NULL ? "nothing\n" : expect);
    bh_plan_free(plan);
    free(expect);
    free(got);
    return same;
}

static void every_tree_says_what_is_expected(void **state)
{
    size_t wrong = 0;

    assert_true(tree_count > 60);
    for (size_t i = 0; i < tree_count; i++)
        wrong += !check_tree(trees[i]);
    assert_int_equal(wrong, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_tree_says_what_is_expected)};
    struct dirent **entries = NULL;
    int count, failed;

    if (argc != 2 || chdir(argv[1]) != 0 || (count = scandir(".", &entries, is_tree, alphasort)) < 0) {
        fprintf(stderr, "usage: test-plan-trees FOLDER\n");
        return 2;
    }
    trees = calloc((size_t)count + 1, sizeof(*trees));
    for (int i = 0; i < count && trees != NULL; i++)
        trees[tree_count++] = entries[i]->d_name;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    free(trees);
    return failed;
}
