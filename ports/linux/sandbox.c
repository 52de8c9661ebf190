/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's first half: namespaces, an empty root, limits, no capabilities. The filter of system calls, which
 * closes the door behind it, is in sandbox_filter.c.
 *
 * Theory of operation
 *   What stays visible is cloned as detached mounts first (open_tree), so that no order of mounting can hide it. Then
 * a tmpfs is laid over a folder that every system has, the clones are moved into it, and it becomes the root; the old
 * one is let go. A process without privileges gets the same through a user namespace in which its ids map to
 * themselves.
 */
#include "ports/linux/sandbox_filter.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the host refused, as words for one warning. */
struct refused {
    char text[200];
};

static void refuse(struct refused *refused, const char *what, int error)
{
    const size_t used = strlen(refused->text);
    snprintf(refused->text + used, sizeof(refused->text) - used, "%s%s (%s)", used ? ", " : "", what,
             strerror(error));
}

/* --- namespaces -------------------------------------------------------------------------------------------- */

static bool write_file(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool write_file(const char *path, const char *format, ...)
{
    char text[64];
    va_list args;
    va_start(args, format);
    const int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const bool written = fd >= 0 && write(fd, text, (size_t)size) == size;
    if (fd >= 0)
        close(fd);
    return written;
}

static bool leave_namespaces(bool network)
{
    const int flags =
        CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | (network ? 0 : CLONE_NEWNET);
    const uid_t uid = geteuid();
    const gid_t gid = getegid();
    if (unshare(flags) == 0)
        return true;
    if (errno != EPERM || unshare(flags | CLONE_NEWUSER))
        return false;
    return write_file("/proc/self/setgroups", "deny") &&
           write_file("/proc/self/uid_map", "%u %u 1", uid, uid) &&
           write_file("/proc/self/gid_map", "%u %u 1", gid, gid);
}

/* --- an empty root ----------------------------------------------------------------------------------------- */

/* A path that stays in sight. */
struct sight {
    char path[PATH_MAX]; /* absolute, as its opener will spell it */
    int mount;           /* its clone; -1: it is not there */
    bool folder;
};

/* False: the host refused it; what is not there, and the whole root, are left out. */
static bool take_sight(struct sight *sight, const struct bh_sandbox_sight *wanted, const char *cwd)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
                                                (wanted->writable ? 0 : MOUNT_ATTR_RDONLY)};
    struct stat file;
    const bool absolute = wanted->path[0] == '/';
    const int length = snprintf(sight->path, sizeof(sight->path), "%s%s%s%s%s", absolute ? "" : cwd,
                                absolute ? "" : "/", wanted->path, wanted->name[0] ? "/" : "", wanted->name);
    sight->mount = -1;
    if (length >= (int)sizeof(sight->path))
        return true;
    if (wanted->folder)
        *strrchr(sight->path, '/') = 0;
    if (!sight->path[0] || stat(sight->path, &file))
        return true;
    sight->folder = S_ISDIR(file.st_mode);
    sight->mount = open_tree(AT_FDCWD, sight->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    return sight->mount >= 0 && mount_setattr(sight->mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                                              sizeof(attributes)) == 0;
}

/* Make the folders above a path, and what it is mounted on, below the new root that is our working directory. */
static bool lay_sight(const struct sight *sight)
{
    char path[1 + sizeof(sight->path)] = ".";
    memcpy(path + 1, sight->path, sizeof(sight->path));
    for (char *slash = strchr(path + 2, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(path, 0755) && errno != EEXIST)
            return false;
        *slash = '/';
    }
    if ((sight->folder ? mkdir(path, 0755) : mknod(path, S_IFREG | 0644, 0)) && errno != EEXIST)
        return false;
    return move_mount(sight->mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

static bool lay_root(const struct sight *sights, unsigned count)
{
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    const char *const place = access("/proc", F_OK) == 0 ? "/proc" : "/tmp";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("bulkhead", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") ||
        chdir(place))
        return false;
    for (unsigned i = 0; i < count; i++)
        if (sights[i].mount >= 0 && !lay_sight(&sights[i]))
            return false;
    return syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 &&
           mount_setattr(AT_FDCWD, "/", 0, &read_only, sizeof(read_only)) == 0;
}

static bool leave_files(const struct bh_sandbox *sandbox)
{
    struct sight sights[BH_SANDBOX_PATHS_MAX];
    char cwd[PATH_MAX];
    bool left = true;
    unsigned count = 0;
    if (!getcwd(cwd, sizeof(cwd)))
        return false;
    while (left && count < sandbox->path_count) {
        left = take_sight(&sights[count], &sandbox->paths[count], cwd);
        count++;
    }
    left = left && lay_root(sights, count);
    const int error = errno;
    for (unsigned i = 0; i < count; i++)
        if (sights[i].mount >= 0)
            close(sights[i].mount);
    /* Where a relative path of `paths` begins; or nowhere. */
    if (left && chdir(cwd) && chdir("/"))
        return false;
    errno = error;
    return left;
}

/* --- abstract Unix sockets --------------------------------------------------------------------------------- */

/*
 * They have no path, and belong to the network's namespace. Landlock can keep those of others out of reach since Linux
 * 6.12; the headers of older systems do not tell how [landlock(7), "Scoped operations"].
 */
struct landlock_scopes {
    uint64_t files, network, scoped;
};
#define LANDLOCK_ASK_VERSION    1u
#define LANDLOCK_SCOPED_VERSION 6
#define LANDLOCK_ABSTRACT       (UINT64_C(1) << 0)

static bool leave_abstract_sockets(void)
{
    const struct landlock_scopes scopes = {.scoped = LANDLOCK_ABSTRACT};
    bool left;
    int rules;
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_ASK_VERSION) < LANDLOCK_SCOPED_VERSION) {
        errno = EOPNOTSUPP;
        return false;
    }
    rules = (int)syscall(SYS_landlock_create_ruleset, &scopes, sizeof(scopes), 0);
    if (rules < 0)
        return false;
    left = syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return left;
}

/* --- the whole --------------------------------------------------------------------------------------------- */

static void leave_limits(void)
{
    static const struct {
        __rlimit_resource_t what;
        rlim_t most;
    } limits[] = {{RLIMIT_CORE, 0}, {RLIMIT_MSGQUEUE, 0}, {RLIMIT_RTPRIO, 0}, {RLIMIT_NICE, 0}};
    for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        const struct rlimit limit = {limits[i].most, limits[i].most};
        (void)setrlimit(limits[i].what, &limit); /* lowering is always allowed */
    }
}

static bool leave_capabilities(void)
{
    capng_clear(CAPNG_SELECT_ALL);
    /* Without CAP_SETPCAP the bounding set stays; no_new_privs makes it useless. */
    return capng_apply(CAPNG_SELECT_ALL) == 0 || capng_apply(CAPNG_SELECT_CAPS) == 0;
}

int bh_sandbox_enter(const struct bh_sandbox *sandbox, struct bh_diag_sink *sink)
{
    struct refused refused = {""};
    int death_signal = 0;
    if (BH_SANDBOX_INSTRUMENTED) {
        bh_note(sink, "no sandbox: built with sanitizers or for coverage, whose run-time needs the host");
        return sandbox->required ? BH_ERR_UNSUPPORTED : BH_OK;
    }
    (void)prctl(PR_GET_PDEATHSIG, &death_signal);
    if (!leave_namespaces(sandbox->network))
        refuse(&refused, "namespaces", errno);
    else if (!leave_files(sandbox))
        refuse(&refused, "an empty root", errno);
    leave_limits();
    if (!leave_capabilities())
        refuse(&refused, "dropping capabilities", EPERM);
    /* A change of credentials may have taken it away. */
    if (prctl(PR_SET_PDEATHSIG, death_signal) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
        bh_error(sink, NULL, NULL, "the sandbox cannot be entered: %s", strerror(errno));
        return BH_ERR_IO;
    }
    /* In a network of its own there are none. A kernel that cannot is no reason for a word, unless all is required. */
    if (sandbox->network && !leave_abstract_sockets() && sandbox->required)
        refuse(&refused, "hiding abstract sockets", errno);
    const int err = bh_sandbox_filter(sandbox);
    if (err)
        refuse(&refused, "a filter of system calls", -err);
    if (*refused.text && sandbox->required) {
        bh_error(sink, NULL, "--sandbox=on serves without it; see docs/sandbox.md", "the host refused %s",
                 refused.text);
        return BH_ERR_UNSUPPORTED;
    }
    if (*refused.text)
        bh_warn(sink, NULL, "the rest of the sandbox stands; see docs/sandbox.md", "the host refused %s",
                refused.text);
    return BH_OK;
}
