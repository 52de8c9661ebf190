/* SPDX-License-Identifier: Apache-2.0 */
/* The planner's test rig: classes, output. */
#include "tests/unit/plan_rig.h"
#include "programs/device.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct values {
    char *text, *path, *socket;
    uint64_t size, number;
    bool on;
    uint8_t mac[6];
    struct bh_option_list list;
    int word;
};

#define AT(field) offsetof(struct values, field)

static const char *const cache_words[] = {"writeback", "none", NULL};
static const struct bh_option blk_options[] = {
    {.name = "blk-file", .type = BH_OPT_PATH, .offset = AT(path), .help = "the image"},
    {.name = "ram-size", .type = BH_OPT_SIZE, .offset = AT(size), .help = "a disk in memory"},
    {.name = "read-only",
     .type = BH_OPT_BOOL,
     .offset = AT(on),
     .def = "off",
     .help = "the guest cannot write"},
    {.name = "num-queues",
     .type = BH_OPT_UINT,
     .offset = AT(number),
     .def = "1",
     .min = 1,
     .max = 64,
     .help = "queues"},
    {.name = "cache",
     .type = BH_OPT_ENUM,
     .offset = AT(word),
     .def = "none",
     .values = cache_words,
     .help = "cache"},
    {.name = "serial", .type = BH_OPT_STRING, .offset = AT(text), .help = "serial number"},
    {.name = "socket-path",
     .type = BH_OPT_PATH,
     .offset = AT(socket),
     .help = "where to listen",
     .cli_only = true},
    {.name = NULL}};
static const struct bh_option net_options[] = {
    {.name = "mac", .type = BH_OPT_MAC, .offset = AT(mac), .help = "MAC address"},
    {.name = "forward", .type = BH_OPT_LIST, .offset = AT(list), .help = "a port"},
    {.name = NULL}};
static const struct bh_option fs_options[] = {{.name = "folder",
                                               .type = BH_OPT_PATH,
                                               .offset = AT(path),
                                               .required = true,
                                               .help = "the folder to share"},
                                              {.name = NULL}};
static const struct bh_option vsock_options[] = {
    {.name = "guest-cid",
     .type = BH_OPT_UINT,
     .offset = AT(number),
     .min = 3,
     .required = true,
     .help = "context ID"},
    {.name = "peer", .type = BH_OPT_LIST, .offset = AT(list), .help = "another guest"},
    {.name = "host-path", .type = BH_OPT_PATH, .offset = AT(path), .help = "a socket"},
    {.name = NULL}};
static const struct bh_option no_options[] = {{.name = NULL}};
static const struct bh_option switch_options[] = {
    {.name = "port", .type = BH_OPT_LIST, .offset = AT(list), .help = "a port"},
    {.name = "mtu", .type = BH_OPT_UINT, .offset = AT(number), .min = 576, .max = 65500, .help = "mtu"},
    {.name = NULL}};
static const struct bh_option switch_words[] = {
    {.name = "name", .type = BH_OPT_STRING, .offset = AT(text), .help = "name"},
    {.name = "vlan", .type = BH_OPT_UINT, .offset = AT(number), .min = 1, .max = 4094, .help = "VLAN"},
    {.name = "mac", .type = BH_OPT_STRING, .offset = AT(path), .help = "addresses"},
    {.name = NULL}};
static const struct bh_plan_switching switching = {
    .options = switch_options, .words = switch_words, .port = "port", .name = "name", .mac = "mac"};
static const char *const stores[] = {"blk-file", "ram-size", NULL};

const struct bh_plan_class plan_rig_classes[] = {
    {.name = "blk",
     .virtio_id = 2,
     .options = blk_options,
     .image = "blk-file",
     .read_only = "read-only",
     .one_of = stores},
    {.name = "console", .virtio_id = 3, .options = no_options, .console = true},
    {.name = "net",
     .virtio_id = 1,
     .options = net_options,
     .mac = "mac",
     .forward = "forward",
     .linkable = true},
    {.name = "rng", .virtio_id = 4, .options = no_options},
    {.name = "vsock",
     .virtio_id = 19,
     .options = vsock_options,
     .cid = "guest-cid",
     .peer = "peer",
     .host_path = "host-path",
     .sibling_dir = "sibling-dir"},
    {.name = "fs", .virtio_id = 26, .options = fs_options},
    {.name = NULL}};

const struct bh_plan_settings plan_rig_settings = {.classes = plan_rig_classes,
                                                   .switching = &switching,
                                                   .common = bh_device_process_options,
                                                   .cache_dir = "/cache",
                                                   .state_dir = "/state"};

char *plan_rig_read(const char *file, size_t *size)
{
    FILE *stream = fopen(file, "re");
    char *data = malloc(4u << 20);

    *size = stream == NULL || data == NULL ? 0 : fread(data, 1, (4u << 20) - 1, stream);
    if (stream == NULL || data == NULL) {
        free(data);
        data = NULL;
    } else {
        data[*size] = '\0';
    }
    if (stream != NULL)
        fclose(stream);
    return data;
}

/* Every `folder` in the text by a shorter word. */
static void replace(char *text, const char *folder, const char *word)
{
    while (text != NULL && folder != NULL && (text = strstr(text, folder)) != NULL) {
        memcpy(text, word, strlen(word));
        memmove(text + strlen(word), text + strlen(folder), strlen(text + strlen(folder)) + 1);
    }
}

char *plan_rig_run(const char *file, int *err, struct bh_plan **plan)
{
    struct bh_diag_text text;
    int fd = memfd_create("output", MFD_CLOEXEC);
    off_t size;
    char *output, *here;

    bh_diag_text_init(&text, fd, NULL);
    *err = bh_plan_make(&plan_rig_settings, file, &text.sink, plan);
    size = lseek(fd, 0, SEEK_END);
    output = calloc(1, (size_t)size + 1);
    if (output != NULL && pread(fd, output, (size_t)size, 0) != size)
        output[0] = '\0';
    close(fd);
    here = getcwd(NULL, 0);
    replace(output, here, "HERE");
    free(here);
    return output;
}
