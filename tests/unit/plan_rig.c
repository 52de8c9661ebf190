/* SPDX-License-Identifier: Apache-2.0 */
/* The planner's test rig: classes, images, output. */
#include "tests/unit/plan_rig.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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
static const struct bh_option no_options[] = {{.name = NULL}};
static const struct bh_option common_options[] = {
    {.name = "features", .type = BH_OPT_STRING, .offset = AT(text), .help = "features to offer"},
    {.name = NULL}};
static const char *const stores[] = {"blk-file", "ram-size", NULL};

const struct bh_plan_class plan_rig_classes[] = {{.name = "blk",
                                                  .virtio_id = 2,
                                                  .options = blk_options,
                                                  .image = "blk-file",
                                                  .read_only = "read-only",
                                                  .one_of = stores},
                                                 {.name = "console", .virtio_id = 3, .options = no_options},
                                                 {.name = "net",
                                                  .virtio_id = 1,
                                                  .options = net_options,
                                                  .mac = "mac",
                                                  .forward = "forward",
                                                  .linkable = true},
                                                 {.name = "rng", .virtio_id = 4, .options = no_options},
                                                 {.name = "fs", .virtio_id = 26, .options = fs_options},
                                                 {.name = NULL}};

static int write_file(const struct plan_rig *rig, const char *name, const void *data, size_t size,
                      off_t length)
{
    char path[128];
    int fd, done;

    snprintf(path, sizeof(path), "%s/%s", rig->folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    done = (size == 0 || write(fd, data, size) == (ssize_t)size) && ftruncate(fd, length) == 0;
    close(fd);
    return done ? 0 : -1;
}

static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0) {
        *at++ = (uint8_t)value;
        value >>= 8;
    }
}

/*
 * An arm64 Image with an EFI stub's headers: 16 KiB of file, 4 MiB in memory
 * [Linux, Documentation/arm64/booting.rst; PE/COFF, section table].
 */
static void make_kernel(uint8_t head[512])
{
    memset(head, 0, 512);
    memcpy(head, "MZ", 2);
    put(head + 16, 4u << 20, 8); /* image_size */
    memcpy(head + 56, "ARM\x64", 4);
    put(head + 0x3c, 0x40, 4); /* the PE header's offset */
    memcpy(head + 0x40, "PE\0\0", 4);
    put(head + 0x46, 1, 2);            /* sections */
    put(head + 0x54, 0xf0, 2);         /* optional header */
    put(head + 0x148 + 16, 0x3000, 4); /* SizeOfRawData */
    put(head + 0x148 + 20, 0x1000, 4); /* PointerToRawData */
}

int plan_rig_setup(struct plan_rig *rig)
{
    uint8_t kernel[512];

    memset(rig, 0, sizeof(*rig));
    snprintf(rig->folder, sizeof(rig->folder), "%s", "/tmp/bulkhead-plan-XXXXXX");
    if (mkdtemp(rig->folder) == NULL)
        return -1;
    rig->settings = (struct bh_plan_settings){.classes = plan_rig_classes,
                                              .common = common_options,
                                              .cache_dir = rig->folder,
                                              .state_dir = rig->folder};
    make_kernel(kernel);
    return write_file(rig, "Image", kernel, sizeof(kernel), 0x4000) |
           write_file(rig, "Image.half", kernel, sizeof(kernel), 0x3fff) |
           write_file(rig, "ramdisk", "\x1f\x8b", 2, 1000) | write_file(rig, "a.img", NULL, 0, 1 << 20) |
           write_file(rig, "odd.img", NULL, 0, (1 << 20) + 256);
}

void plan_rig_teardown(struct plan_rig *rig)
{
    static const char *const names[] = {"Image", "Image.half", "ramdisk", "a.img", "odd.img"};
    char path[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        snprintf(path, sizeof(path), "%s/%s", rig->folder, names[i]);
        unlink(path);
    }
    rmdir(rig->folder);
}

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

char *plan_rig_run(struct plan_rig *rig, const char *file, int *err, struct bh_plan **plan)
{
    struct bh_diag_text text;
    int fd = memfd_create("output", MFD_CLOEXEC);
    off_t size;
    char *output, *here;

    bh_diag_text_init(&text, fd, NULL);
    *err = bh_plan_make(&rig->settings, file, &text.sink, plan);
    size = lseek(fd, 0, SEEK_END);
    output = calloc(1, (size_t)size + 1);
    if (output != NULL && pread(fd, output, (size_t)size, 0) != size)
        output[0] = '\0';
    close(fd);
    here = getcwd(NULL, 0);
    replace(output, rig->folder, "CACHE");
    replace(output, here, "HERE");
    free(here);
    return output;
}
