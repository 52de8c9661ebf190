/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's command line for one domain of a plan. Guest memory is a shared memfd, since the backends map it; there is
 * no device but the board's own (interrupt controller, timer, PL011, power button) and ours, by vhost-user.
 */
#include "engines/qemu/qemu.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A vector of strings that remembers when memory ran out, so that only its end looks. */
struct args {
    char **items;
    size_t count, room;
    bool failed;
};

static void add_text(struct args *args, char *text)
{
    if (args->count + 2 > args->room) {
        const size_t room = args->room ? args->room * 2 : 64;
        char **items = realloc(args->items, room * sizeof(*items));
        if (!items) {
            args->failed = true;
            free(text);
            return;
        }
        args->items = items;
        args->room = room;
    }
    args->failed |= !text;
    args->items[args->count] = text;
    args->count += text != NULL;
    args->items[args->count] = NULL;
}

static void __attribute__((format(printf, 2, 3))) add(struct args *args, const char *format, ...)
{
    char *text = NULL;
    va_list list;
    va_start(list, format);
    if (vasprintf(&text, format, list) < 0)
        text = NULL;
    va_end(list);
    add_text(args, text);
}

/* In QEMU's own option syntax a comma in a value is written twice. */
static char *quoted(const char *value)
{
    char *text = malloc(2 * strlen(value) + 1), *to = text;
    for (const char *from = value; text && *from; from++) {
        if (*from == ',')
            *to++ = ',';
        *to++ = *from;
    }
    if (text)
        *to = 0;
    return text;
}

const char *bh_qemu_front_end(const char *class_name)
{
    static const struct {
        const char *class_name, *front_end;
    } table[] = {
        {"blk", "vhost-user-blk-pci"}, {"net", "virtio-net-pci"}, /* behind a netdev of type vhost-user */
        {"rng", "vhost-user-rng-pci"}, {"fs", "vhost-user-fs-pci"}, {"vsock", "vhost-user-vsock-pci"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (!strcmp(table[i].class_name, class_name))
            return table[i].front_end;
    return NULL;
}

/* Two queues a port, and two to control them where there may be more than one [virtio-1.4 5.3.2]. */
static int console_queues(const struct bh_plan_device *device)
{
    const char *max = bh_plan_option_value(device, "ports-max");
    int ports = max ? atoi(max) : 0; /* checked with the description */

    if (ports == 0) {
        ports = 1;
        for (size_t i = 0; i < device->option_count; i++)
            ports += !strcmp(device->options[i].name, "named-port");
    }
    return ports > 1 ? 2 * ports + 2 : 2;
}

/* The classes that QEMU reaches through its generic device: how many queues and bytes of config space they have. */
static void add_generic(struct args *args, const struct bh_plan_device *device, size_t index)
{
    const bool console = !strcmp(device->class_name, "console");
    add(args, "-device");
    add(args,
        "vhost-user-test-device-pci,chardev=dev%zu,id=d%zu,bus=pcie.0,addr=0x%x,virtio-id=%u,num_vqs=%d,"
        "config_size=%d",
        index, index, device->pci_slot, device->virtio_id, console ? console_queues(device) : 1,
        console ? 12 : 0);
}

static void add_net(struct args *args, const struct bh_qemu *qemu, const struct bh_plan_device *device,
                    size_t index)
{
    const char *mac = bh_plan_option_value(device, "mac");
    const char *text = bh_plan_option_value(device, "queue-pairs");
    const unsigned long pairs = text ? strtoul(text, NULL, 0) : 1;
    add(args, "-netdev");
    add(args, "vhost-user,id=net%zu,chardev=dev%zu,queues=%lu", index, index, pairs);
    add(args, "-device");
    /* QEMU counts the vectors of several queues by itself. */
    add(args, "virtio-net-pci,netdev=net%zu,id=d%zu,bus=pcie.0,addr=0x%x,romfile=%s%s%s%s", index, index,
        device->pci_slot, mac ? ",mac=" : "", mac ? mac : "", pairs > 1 ? ",mq=on" : "",
        qemu->net_vectors ? "" : ",vectors=0");
}

static void add_device(struct args *args, const struct bh_qemu *qemu, const struct bh_plan_device *device,
                       size_t index)
{
    const char *front_end = bh_qemu_front_end(device->class_name);
    char *socket = quoted(device->socket);
    args->failed |= !socket;
    add(args, "-chardev");
    add(args, "socket,id=dev%zu,path=%s", index, socket ? socket : "");
    free(socket);
    if (!front_end) {
        add_generic(args, device, index);
    } else if (!strcmp(device->class_name, "net")) {
        add_net(args, qemu, device, index);
    } else {
        const char *tag = bh_plan_option_value(device, "tag");
        char *name = tag ? quoted(tag) : NULL;
        args->failed |= tag && !name;
        add(args, "-device");
        add(args, "%s,chardev=dev%zu,id=d%zu,bus=pcie.0,addr=0x%x%s%s", front_end, index, index,
            device->pci_slot, name ? ",tag=" : "", name ? name : "");
        free(name);
    }
}

static void add_machine(struct args *args, const struct bh_plan_domain *domain, int qmp_fd)
{
    add(args, "-nodefaults");
    add(args, "-no-user-config");
    add(args, "-display");
    add(args, "none");
    add(args, "-M");
    add(args, "virt,gic-version=%d,memory-backend=ram", domain->cpu_count > 8 ? 3 : 2);
    add(args, "-object");
    add(args, "memory-backend-memfd,id=ram,size=%llu,share=on", (unsigned long long)domain->memory_size);
    add(args, "-m");
    add(args, "%llu", (unsigned long long)(domain->memory_size >> 20));
    add(args, "-accel");
    add(args, "tcg");
    add(args, "-cpu");
    add(args, "cortex-a72");
    add(args, "-smp");
    add(args, "%u", domain->cpu_count);
    add(args, "-chardev");
    add(args, "stdio,id=early,signal=off");
    add(args, "-serial");
    add(args, "chardev:early");
    add(args, "-chardev");
    add(args, "socket,id=qmp,fd=%d", qmp_fd);
    add(args, "-mon");
    add(args, "chardev=qmp,mode=control");
    add(args, "-S");
}

static void add_boot(struct args *args, const struct bh_plan_domain *domain)
{
    add(args, "-kernel");
    add(args, "%s", domain->kernel);
    if (domain->ramdisk) {
        add(args, "-initrd");
        add(args, "%s", domain->ramdisk);
    }
    if (domain->bootargs[0]) {
        add(args, "-append");
        add(args, "%s", domain->bootargs);
    }
}

int bh_qemu_argv(const struct bh_qemu *qemu, const struct bh_plan *plan, uint32_t index, int qmp_fd,
                 char ***argv)
{
    const struct bh_plan_domain *domain = &plan->domains[index];
    struct args args = {0};
    add(&args, "%s", qemu->program);
    add(&args, "-name");
    add(&args, "%s", domain->name);
    add_machine(&args, domain, qmp_fd);
    add_boot(&args, domain);
    for (uint32_t d = 0; d < domain->device_count; d++)
        add_device(&args, qemu, &plan->devices[domain->device_first + d], d);
    if (args.failed) {
        bh_qemu_argv_free(args.items);
        return BH_ERR_NOMEM;
    }
    *argv = args.items;
    return BH_OK;
}

void bh_qemu_argv_free(char **argv)
{
    for (char **item = argv; item && *item; item++)
        free(*item);
    free(argv);
}
