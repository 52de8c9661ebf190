/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See machine.h.
 */
#include "bench/machine.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The value of a "key : value" or KEY="value" line; empty when there is none. */
static void look_up(const char *path, const char *key, char *to, size_t size)
{
    char line[512];
    FILE *file = fopen(path, "re");

    to[0] = '\0';
    while (file && to[0] == '\0' && fgets(line, sizeof(line), file)) {
        char *value = line + strlen(key);

        if (strncmp(line, key, strlen(key)) != 0 || !strchr(" \t:=", *value))
            continue;
        value += strspn(value, " \t:=\"");
        value[strcspn(value, "\"\n")] = '\0';
        snprintf(to, size, "%s", value);
    }
    if (file)
        fclose(file);
}

/* A hypervisor below us makes wake-ups dear: worth knowing. */
static void find_hypervisor(char *to, size_t size)
{
    char flags[4096];
    FILE *file = fopen("/proc/cpuinfo", "re");

    snprintf(to, size, "none seen");
    while (file && fgets(flags, sizeof(flags), file)) {
        if (strncmp(flags, "flags", 5) == 0 && strstr(flags, " hypervisor")) {
            snprintf(to, size, "a virtual machine");
            break;
        }
    }
    if (file)
        fclose(file);
}

void bench_machine_read(struct bench_machine *machine)
{
    struct utsname name;
    struct sysinfo info;
    cpu_set_t mine;

    *machine = (struct bench_machine){.driver_cpu = -1, .backend_cpu = -1, .cpus = 1};
    look_up("/proc/cpuinfo", "model name", machine->cpu, sizeof(machine->cpu));
    look_up("/etc/os-release", "PRETTY_NAME", machine->system, sizeof(machine->system));
    find_hypervisor(machine->hypervisor, sizeof(machine->hypervisor));
    if (uname(&name) == 0) {
        snprintf(machine->kernel, sizeof(machine->kernel), "%s %s %s", name.sysname, name.release,
                 name.machine);
        if (!machine->cpu[0])
            snprintf(machine->cpu, sizeof(machine->cpu), "%s", name.machine);
    }
    if (sysinfo(&info) == 0)
        machine->memory_gib = (double)info.totalram * info.mem_unit / (double)(1u << 30);
    if (sched_getaffinity(0, sizeof(mine), &mine))
        return;
    machine->cpus = (unsigned)CPU_COUNT(&mine);
    for (int i = CPU_SETSIZE - 1, found = 0; i >= 0 && machine->cpus > 1 && found < 2; i--) {
        if (!CPU_ISSET((unsigned)i, &mine))
            continue;
        if (found++ == 0)
            machine->driver_cpu = i;
        else
            machine->backend_cpu = i;
    }
}

void bench_machine_pin(const struct bench_machine *machine)
{
    cpu_set_t mine;

    if (machine->driver_cpu < 0)
        return;
    CPU_ZERO(&mine);
    CPU_SET((unsigned)machine->driver_cpu, &mine);
    (void)sched_setaffinity(0, sizeof(mine), &mine);
}

/* --- foreign load ------------------------------------------------------------------------------------------- */

static uint64_t busy_ns(void)
{
    unsigned long long user, nice, system, idle, wait, irq, softirq, steal;
    uint64_t ns = 0;
    FILE *file = fopen("/proc/stat", "re");

    if (file && fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
                       &wait, &irq, &softirq, &steal) == 8)
        ns = (user + nice + system + irq + softirq + steal) *
             (1000000000ull / (unsigned long long)sysconf(_SC_CLK_TCK));
    if (file)
        fclose(file);
    return ns;
}

struct bench_moment bench_moment_now(const struct bench_backend *backend)
{
    struct bench_moment moment = {.at_ns = bench_now(), .busy_ns = busy_ns()};
    struct timespec mine;

    moment.backend_ns = bench_backend_cpu_ns(backend);
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &mine) == 0)
        moment.driver_ns = (uint64_t)mine.tv_sec * 1000000000u + (uint64_t)mine.tv_nsec;
    return moment;
}

double bench_foreign(const struct bench_moment *from, const struct bench_moment *to)
{
    const double all = (double)(to->busy_ns - from->busy_ns);
    const double ours =
        (double)(to->backend_ns - from->backend_ns) + (double)(to->driver_ns - from->driver_ns);

    return to->at_ns > from->at_ns && all > ours ? (all - ours) / (double)(to->at_ns - from->at_ns) : 0;
}
