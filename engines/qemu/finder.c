/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which QEMU of this machine can serve a plan's devices. Asked is what counts (`-device NAME,help`), not the version: a
 * distribution may have built a device in or out. The answer is kept in the cache until the program changes.
 */
#include "engines/qemu/qemu.h"
#include <bulkhead/impl/process.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HELP_MAX = 256 * 1024, HELP_TIMEOUT_MS = 10000, LINE_MAX_BYTES = 4096 };

static const char generic[] = "vhost-user-test-device-pci";
static const char *const of_interest[] = {"vhost-user-blk-pci",
                                          "virtio-net-pci",
                                          "vhost-user-rng-pci",
                                          "vhost-user-fs-pci",
                                          "vhost-user-vsock-pci",
                                          generic,
                                          NULL};

/* --- asking ------------------------------------------------------------------------------------------------ */

static void ignore_exit(struct bh_process *process, const siginfo_t *info)
{
}

/* All that comes out of fd until its end, at most HELP_MAX bytes, within the time; a string, or NULL. */
static char *read_all(int fd)
{
    const uint64_t until = bh_loop_now() + HELP_TIMEOUT_MS * 1000000ull;
    char *text = malloc(HELP_MAX + 1);
    size_t length = 0;
    while (text && length < HELP_MAX && bh_loop_now() < until) {
        struct pollfd waiting = {fd, POLLIN, 0};
        if (poll(&waiting, 1, 100) <= 0)
            continue;
        const ssize_t got = read(fd, text + length, HELP_MAX - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    if (text)
        text[length] = 0;
    return text;
}

/*
 * What `PROGRAM -device NAME,help` prints, or NULL when it cannot be run. Each device is asked for by name: the whole list
 * loads every module, and an unpacked QEMU that finds an installed one's modules dies of them.
 */
static char *device_help(const char *program, const char *device)
{
    char word[80];
    const char *const argv[] = {program, "-M", "virt", "-device", word, NULL};
    struct bh_process process = {0};
    struct bh_loop *loop;
    char *text = NULL;
    int out[2];
    snprintf(word, sizeof(word), "%s,help", device);
    if (bh_loop_create(&loop))
        return NULL;
    if (pipe2(out, O_CLOEXEC))
        goto no_pipe;
    const struct bh_process_spec spec = {.argv = argv, .in = -1, .out = out[1], .err = -1};
    const int err = bh_process_start(&process, &spec, loop, ignore_exit);
    close(out[1]);
    if (!err) {
        text = read_all(out[0]);
        bh_process_end(&process);
    }
    close(out[0]);
no_pipe:
    bh_loop_destroy(loop);
    return text;
}

/* The names of interest that the program has, joined by commas. */
static void ask_names(const char *program, char *names, size_t size)
{
    names[0] = 0;
    for (const char *const *name = of_interest; *name; name++) {
        char title[80], *help = device_help(program, *name);
        snprintf(title, sizeof(title), "%s options:", *name);
        if (help && strstr(help, title))
            snprintf(names + strlen(names), size - strlen(names), "%s%s", names[0] ? "," : "", *name);
        free(help);
    }
}

/* --- the cache --------------------------------------------------------------------------------------------- */

/*
 * "COUNT<tab>PATH<tab>MTIME<tab>SIZE<tab>NAMES", one a line; every line that does not look like that is left alone.
 * COUNT: how many names were asked for, so that a build which asks for more does not believe an older one's answer.
 */
static int cache_file(char *path, size_t size, bool make)
{
    static const char name[] = "/qemu-devices";
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length;
    if (base && base[0] == '/')
        length = snprintf(path, size, "%s/bulkhead", base);
    else if (home && home[0] == '/')
        length = snprintf(path, size, "%s/.cache/bulkhead", home);
    else
        return BH_ERR_NOENT;
    if (length < 0 || (size_t)length + sizeof(name) > size)
        return BH_ERR_RANGE;
    if (make)
        mkdir(path, 0755);
    memcpy(path + length, name, sizeof(name));
    return BH_OK;
}

static void cache_key(const char *program, const struct stat *info, char *key, size_t size)
{
    snprintf(key, size, "%zu\t%s\t%lld.%09ld\t%lld\t", sizeof(of_interest) / sizeof(of_interest[0]) - 1,
             program, (long long)info->st_mtim.tv_sec, info->st_mtim.tv_nsec, (long long)info->st_size);
}

static bool cache_read(const char *key, char *names, size_t size)
{
    char path[4096], line[LINE_MAX_BYTES];
    bool found = false;
    if (cache_file(path, sizeof(path), false))
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    while (!found && fgets(line, sizeof(line), file)) {
        found = !strncmp(line, key, strlen(key));
        line[strcspn(line, "\n")] = 0;
        if (found)
            snprintf(names, size, "%s", line + strlen(key));
    }
    fclose(file);
    return found;
}

static void cache_write(const char *key, const char *names)
{
    char path[4096];
    if (cache_file(path, sizeof(path), true))
        return;
    FILE *file = fopen(path, "ae");
    if (!file)
        return; /* asked again next time */
    fprintf(file, "%s%s\n", key, names);
    fclose(file);
}

/* --- choosing ---------------------------------------------------------------------------------------------- */

static bool has_name(const char *names, const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = names; (at = strstr(at, name)); at += length)
        if ((at == names || at[-1] == ',') && (at[length] == ',' || !at[length]))
            return true;
    return false;
}

/* The first class of the plan that a QEMU with these devices cannot drive, or NULL. */
static const char *lacking(const struct bh_plan *plan, const char *names)
{
    for (size_t d = 0; d < plan->device_count; d++) {
        const char *front_end = bh_qemu_front_end(plan->devices[d].class_name);
        if (!has_name(names, front_end ? front_end : generic))
            return plan->devices[d].class_name;
    }
    return NULL;
}

static bool in_path(const char *name, char *found, size_t size)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        const size_t length = strcspn(path, ":");
        const int wrote = snprintf(found, size, "%.*s/%s", (int)length, path, name);
        if (length && wrote > 0 && (size_t)wrote < size && !access(found, X_OK))
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

/* The n-th candidate's path; false when there are no more. An empty path: this one is not there. */
static bool candidate(unsigned n, char *path, size_t size)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *named = getenv("BULKHEAD_QEMU");
    static const char name[] = "qemu-system-aarch64";
    path[0] = 0;
    switch (n) {
    case 0:
        if (named)
            snprintf(path, size, "%s", named);
        return true;
    case 1:
        if (!in_path(name, path, size))
            path[0] = 0;
        return true;
    case 2:
        if (base && base[0] == '/')
            snprintf(path, size, "%s/bulkhead/qemu/bin/%s", base, name);
        else if (home)
            snprintf(path, size, "%s/.cache/bulkhead/qemu/bin/%s", home, name);
        return true;
    default: return false;
    }
}

int bh_qemu_find(const struct bh_plan *plan, struct bh_diag_sink *sink, struct bh_qemu *qemu)
{
    char path[2048], key[2200], names[512], why[1024] = "";
    for (unsigned n = 0; candidate(n, path, sizeof(path)); n++) {
        struct stat info;
        if (!path[0])
            continue;
        if (stat(path, &info)) {
            snprintf(why + strlen(why), sizeof(why) - strlen(why), "; %.200s is not there", path);
            continue;
        }
        cache_key(path, &info, key, sizeof(key));
        if (!cache_read(key, names, sizeof(names))) {
            ask_names(path, names, sizeof(names));
            if (names[0])
                cache_write(key, names);
        }
        const char *lacks = lacking(plan, names);
        if (!lacks) {
            qemu->test_device = has_name(names, generic);
            qemu->net_vectors = qemu->test_device; /* both came with the same release, or later */
            qemu->program = strdup(path);
            return qemu->program ? BH_OK : BH_ERR_NOMEM;
        }
        snprintf(why + strlen(why), sizeof(why) - strlen(why), "; %.200s has no front-end for %s", path,
                 lacks);
    }
    bh_error(sink, NULL,
             "`testbeds/fetch qemu` unpacks one into the cache, or name one by "
             "BULKHEAD_QEMU=/path/to/qemu-system-aarch64",
             "no QEMU here can run this system%s", why[0] ? why : ": none was found");
    return BH_ERR_UNSUPPORTED;
}

void bh_qemu_fini(struct bh_qemu *qemu)
{
    free(qemu->program);
    qemu->program = NULL;
}
