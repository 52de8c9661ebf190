/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting children and hearing of their end. Between fork and exec only async-signal-safe calls are made.
 */
#include <bulkhead/impl/process.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int err_of_errno(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR: return BH_ERR_NOENT;
    case EACCES:
    case EPERM:
    case ENOEXEC: return BH_ERR_ACCESS;
    case ENOMEM:
    case EAGAIN: return BH_ERR_NOMEM;
    default: return BH_ERR_IO;
    }
}

/* Every fd first goes beyond the numbers that it and others will get. */
static int move_beyond(int fd, int count)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, count + 1);
}

/* *report moves as well, and stays one that can be written to, however far we get. */
static int place_fds(const struct bh_process_spec *spec, int *report)
{
    const int standard[BH_PROCESS_FIRST_FD] = {spec->in, spec->out, spec->err};
    int high[BH_PROCESS_FIRST_FD + BH_PROCESS_FDS_MAX];
    const int count = BH_PROCESS_FIRST_FD + (int)spec->fd_count;
    const int moved = move_beyond(*report, count);
    if (moved < 0)
        return -1;
    *report = moved;
    for (int i = 0; i < count; i++) {
        int fd = i < BH_PROCESS_FIRST_FD ? standard[i] : spec->fds[i - BH_PROCESS_FIRST_FD];
        if (fd < 0)
            fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        high[i] = fd < 0 ? -1 : move_beyond(fd, count);
        if (high[i] < 0)
            return -1;
    }
    for (int i = 0; i < count; i++)
        if (dup2(high[i], i) < 0)
            return -1;
    if (dup2(*report, count) < 0 || fcntl(count, F_SETFD, FD_CLOEXEC))
        return -1;
    *report = count;
    if (syscall(SYS_close_range, count + 1, ~0u, 0)) {
        for (int fd = count + 1; fd < 4096;
             fd++) /* a kernel before 5.9, or a filter that does not know the call */
            close(fd);
    }
    return 0;
}

/* snprintf is not one of the calls that are safe here. */
static void set_listen_pid(void)
{
    static char text[] = "LISTEN_PID=0123456789";
    char *const begin = text + strlen("LISTEN_PID="), *at = text + sizeof(text) - 1;
    for (unsigned pid = (unsigned)getpid(); at > begin && pid; pid /= 10)
        *--at = (char)('0' + pid % 10);
    memmove(begin, at, (size_t)(text + sizeof(text) - at));
    putenv(text);
}

static void confine(const struct bh_process_spec *spec)
{
    static const char refused[] = "bulkhead: the host refuses namespaces of its own to this program\n";
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none); /* lowering is always allowed */
    (void)setrlimit(RLIMIT_MSGQUEUE, &none);
    if (unshare(CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | (spec->keeps_network ? 0 : CLONE_NEWNET)) &&
        write(STDERR_FILENO, refused, sizeof(refused) - 1) < 0)
        _exit(126);
    if (!spec->keeps_privileges)
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static _Noreturn void child(const struct bh_process_spec *spec, int report, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    for (int signo = 1; signo < NSIG; signo++)
        signal(signo, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    if (!place_fds(spec, &report)) {
        for (const char *const *set = spec->environment; set && *set; set++)
            putenv((char *)(uintptr_t)*set);
        if (spec->listens)
            set_listen_pid();
        if (spec->confined)
            confine(spec);
        execvp(spec->argv[0], (char *const *)(uintptr_t)spec->argv);
    }
    const int error = errno;
    if (write(report, &error, sizeof(error)) < 0)
        _exit(126);
    _exit(127);
}

static void release(struct bh_process *process)
{
    bh_loop_fd_remove(&process->watch);
    close(process->pidfd);
    process->pidfd = -1;
    process->pid = 0;
}

static void ended(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_process *process = BH_LOOP_OWNER(watch, struct bh_process, watch);
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG) || !info.si_pid)
        return;
    release(process);
    process->exited(process, &info);
}

/* The child's word on its exec: nothing when it went well, its errno otherwise. */
static int read_report(int report)
{
    int error;
    ssize_t got;
    do
        got = read(report, &error, sizeof(error));
    while (got < 0 && errno == EINTR);
    return got == sizeof(error) ? err_of_errno(error) : BH_OK;
}

int bh_process_start(struct bh_process *process, const struct bh_process_spec *spec, struct bh_loop *loop,
                     void (*exited)(struct bh_process *process, const siginfo_t *info))
{
    int report[2], err;
    if (spec->fd_count > BH_PROCESS_FDS_MAX)
        return BH_ERR_RANGE;
    if (pipe2(report, O_CLOEXEC))
        return BH_ERR_IO;
    const pid_t parent = getpid();
    process->pid = fork();
    if (!process->pid)
        child(spec, report[1], parent);
    close(report[1]);
    if (process->pid < 0) {
        err = err_of_errno(errno);
        goto no_child;
    }
    process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    if (process->pidfd < 0) {
        kill(process->pid, SIGKILL); /* our child, not reaped yet: the pid is its own */
        waitpid(process->pid, NULL, 0);
        err = BH_ERR_IO;
        goto no_child;
    }
    fcntl(process->pidfd, F_SETFD, FD_CLOEXEC);
    process->exited = exited;
    process->watch = (struct bh_loop_fd){0};
    err = read_report(report[0]);
    if (!err)
        err = bh_loop_fd_add(loop, &process->watch, process->pidfd, BH_LOOP_READ, ended);
    if (err)
        bh_process_end(process);
    close(report[0]);
    return err;

no_child:
    process->pid = 0;
    process->pidfd = -1;
    close(report[0]);
    return err;
}

void bh_process_signal(struct bh_process *process, int signo)
{
    if (process->pid)
        syscall(SYS_pidfd_send_signal, process->pidfd, signo, NULL, 0);
}

void bh_process_end(struct bh_process *process)
{
    siginfo_t info;
    if (!process->pid)
        return;
    bh_process_signal(process, SIGKILL);
    while (waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED) && errno == EINTR)
        ;
    release(process);
}

/* A number behind `key` in a file of /proc; 0 when it is not there. */
static pid_t proc_number(const char *path, const char *key)
{
    char line[256];
    long number = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (!number && fgets(line, sizeof(line), file))
        if (!strncmp(line, key, strlen(key)))
            number = strtol(line + strlen(key), NULL, 10);
    fclose(file);
    return number > 0 ? (pid_t)number : 0;
}

pid_t bh_process_outer_pid(const struct bh_process *process)
{
    char path[64];
    if (!process->pid)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", process->pidfd);
    return proc_number(path, "Pid:");
}

pid_t bh_own_outer_pid(void)
{
    return proc_number("/proc/self/status", "Pid:");
}

void bh_exit_text(const siginfo_t *info, char *text, size_t size)
{
    if (info->si_code == CLD_EXITED)
        snprintf(text, size, "exit code %d", info->si_status);
    else
        snprintf(text, size, "killed by signal %d (%s)", info->si_status, strsignal(info->si_status));
}
