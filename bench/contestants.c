/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See contestants.h.
 */
#include "bench/contestants.h"

#include <bulkhead/impl/diag.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define QSD     "qemu-storage-daemon"
#define TESTPMD "dpdk-testpmd"

static int add(struct bench_recipe *recipes, size_t *count, const char *name, size_t name_len,
               enum bench_kind kind, const char *what)
{
    struct bench_recipe *recipe = &recipes[*count];

    if (*count == BENCH_RECIPES) {
        bh_error(NULL, NULL, NULL, "there is room for %d contestants", BENCH_RECIPES);
        return BH_ERR_RANGE;
    }
    snprintf(recipe->name, sizeof(recipe->name), "%.*s", (int)name_len, name);
    recipe->kind = kind;
    recipe->what = what;
    recipe->number = (unsigned)*count;
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(recipes[i].name, recipe->name) == 0) {
            bh_error(NULL, NULL, "give each a name of its own", "two contestants are called \"%s\"",
                     recipe->name);
            return BH_ERR_INVAL;
        }
    }
    ++*count;
    return BH_OK;
}

/* NAME=WHAT. */
static int split(const char *option, const char *word, size_t *name_len, const char **what)
{
    const char *sign = strchr(word, '=');

    if (!sign || sign == word || sign[1] == '\0') {
        bh_error(NULL, NULL, "the help shows its form", "--%s=%s: a name, \"=\" and what it stands for",
                 option, word);
        return BH_ERR_INVAL;
    }
    *name_len = (size_t)(sign - word);
    *what = sign + 1;
    return BH_OK;
}

static int add_variants(const struct bench_options *options, struct bench_recipe *recipes, size_t *count)
{
    int err = BH_OK;

    for (size_t i = 0; i < options->variants.count && !err; i++) {
        const char *what;
        size_t len;

        err = split("variant", options->variants.items[i], &len, &what);
        if (!err && strncmp(what, "--", 2) != 0) {
            bh_error(NULL, NULL, "such as --variant=threads=--aio=threads", "\"%s\" is no option", what);
            err = BH_ERR_INVAL;
        }
        if (!err)
            err = add(recipes, count, options->variants.items[i], len, BENCH_OURS, what);
    }
    return err;
}

static int add_peers(const struct bench_options *options, struct bench_recipe *recipes, size_t *count)
{
    int err = BH_OK;

    for (size_t i = 0; i < options->peers.count && !err; i++) {
        struct stat found;
        const char *what;
        size_t len;

        err = split("peer", options->peers.items[i], &len, &what);
        if (err)
            break;
        const bool socket = stat(what, &found) == 0 && S_ISSOCK(found.st_mode);

        if (!socket && !strstr(what, "{socket}")) {
            bh_error(NULL, NULL, "a socket on which it listens already, or a command with {socket} in it",
                     "--peer: \"%s\" is neither", what);
            return BH_ERR_INVAL;
        }
        err = add(recipes, count, options->peers.items[i], len, socket ? BENCH_SOCKET : BENCH_COMMAND, what);
    }
    return err;
}

/* "qsd 7.2" of a program that says "qemu-storage-daemon version 7.2.22 (...)". False: it says nothing of the kind. */
static bool name_qsd(const char *program, char *name, size_t size)
{
    char command[600], line[256] = "";
    unsigned major, minor;
    FILE *answer;
    const char *at;

    if ((size_t)snprintf(command, sizeof(command), "'%s' --version 2>/dev/null", program) >=
            sizeof(command) ||
        strchr(program, '\''))
        return false;
    answer = popen(command, "re");
    if (!answer)
        return false;
    if (!fgets(line, sizeof(line), answer))
        line[0] = '\0';
    pclose(answer);
    at = strstr(line, "version ");
    if (!at || sscanf(at, "version %u.%u", &major, &minor) != 2)
        return false;
    snprintf(name, size, "qsd %u.%u", major, minor);
    return true;
}

static int add_qsd(const struct bench_options *options, struct bench_recipe *recipes, size_t *count)
{
    char name[48];
    int err = BH_OK;

    if (options->known_peers && name_qsd(QSD, name, sizeof(name)))
        err = add(recipes, count, name, strlen(name), BENCH_QSD, QSD);
    for (size_t i = 0; i < options->qsd.count && !err; i++) {
        if (!name_qsd(options->qsd.items[i], name, sizeof(name))) {
            bh_error(NULL, NULL, NULL, "--qsd: %s is no qemu-storage-daemon that runs here",
                     options->qsd.items[i]);
            return BH_ERR_INVAL;
        }
        err = add(recipes, count, name, strlen(name), BENCH_QSD, options->qsd.items[i]);
    }
    return err;
}

static bool in_path(const char *program)
{
    const char *path_list = getenv("PATH");
    char *folders = strdup(path_list ? path_list : "/usr/bin:/bin"), *rest = folders;
    const char *folder;
    bool found = false;

    while (!found && rest && (folder = strsep(&rest, ":"))) {
        char path[4096];

        found = (size_t)snprintf(path, sizeof(path), "%s/%s", folder, program) < sizeof(path) &&
                access(path, X_OK) == 0;
    }
    free(folders);
    return found;
}

/*
 * Taps and a bridge need privileges; in a network namespace of our own they touch nobody's network, and are gone when
 * this process is.
 */
static bool may_bridge(void)
{
    return access("/dev/net/tun", R_OK | W_OK) == 0 && in_path("ip") && unshare(CLONE_NEWNET) == 0;
}

static int add_program(struct bench_recipe *recipes, size_t *count, const char *option, enum bench_kind kind,
                       const char *program)
{
    if (!program)
        return BH_OK;
    if (access(program, X_OK)) {
        bh_error(NULL, NULL, NULL, "--%s: %s is no program", option, program);
        return BH_ERR_INVAL;
    }
    return add(recipes, count, option, strlen(option), kind, program);
}

int bench_contestants_choose(const struct bench_options *options, struct bench_recipe *recipes, size_t *count)
{
    int err;

    *count = 0;
    err = add(recipes, count, "bulkhead", 8, BENCH_OURS, NULL);
    if (!err)
        err = add_variants(options, recipes, count);
    if (!err)
        err = add_qsd(options, recipes, count);
    if (!err)
        err = add_program(recipes, count, "spdk", BENCH_SPDK, options->spdk);
    if (!err && options->testpmd)
        err = add_program(recipes, count, "testpmd", BENCH_TESTPMD, options->testpmd);
    else if (!err && options->known_peers && in_path(TESTPMD))
        err = add(recipes, count, "testpmd", strlen("testpmd"), BENCH_TESTPMD, TESTPMD);
    if (!err && options->known_peers && may_bridge())
        err = add(recipes, count, "linux bridge", strlen("linux bridge"), BENCH_BRIDGE, NULL);
    return err ? err : add_peers(options, recipes, count);
}
