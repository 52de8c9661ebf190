/* SPDX-License-Identifier: Apache-2.0 */
/* Looking things up in a tree, and telling a source from a blob. */
#include "plan/tree.h"
#include <errno.h>
#include <fcntl.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void bh_tree_fini(struct bh_tree *tree)
{
    bh_arena_fini(&tree->arena);
    memset(tree, 0, sizeof(*tree));
}

const struct bh_tree_property *bh_tree_property(const struct bh_tree_node *node, const char *name)
{
    for (uint32_t i = 0; i < node->property_count; i++) {
        if (strcmp(node->properties[i].name, name) == 0)
            return &node->properties[i];
    }
    return NULL;
}

struct bh_tree_node *bh_tree_child(const struct bh_tree_node *node, const char *name)
{
    for (struct bh_tree_node *child = node->child; child != NULL; child = child->next) {
        if (strcmp(child->name, name) == 0)
            return child;
    }
    return NULL;
}

struct bh_tree_node *bh_tree_by_phandle(const struct bh_tree *tree, uint32_t phandle)
{
    uint32_t low = 0, high = tree->phandle_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (tree->by_phandle[middle]->phandle == phandle)
            return tree->by_phandle[middle];
        if (tree->by_phandle[middle]->phandle < phandle)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Bytes of the UTF-8 character at `at`; 0: it is none [RFC 3629 4]. */
static size_t character(const uint8_t *at, size_t room)
{
    size_t length = at[0] < 0x80                    ? 1
                    : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                    : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
                    : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                    : 0;

    if (length > room)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    if (length == 3 && ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0)))
        return 0;
    if (length == 4 && ((at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90)))
        return 0;
    return length;
}

bool bh_tree_is_text(const struct bh_tree_property *property)
{
    size_t length;

    if (property->size == 0 || property->data[property->size - 1] != '\0')
        return false;
    for (uint32_t i = 0; i < property->size; i += (uint32_t)length) {
        uint8_t byte = property->data[i];

        length = character(property->data + i, property->size - i);
        if (length == 0 || (byte != '\0' && byte < 0x20 && byte != '\t') || byte == 0x7f)
            return false;
        if (byte == '\0' && property->size > 1 && (i == 0 || property->data[i - 1] == '\0'))
            return false;
    }
    return true;
}

const char *bh_tree_next_text(const struct bh_tree_property *property, const char *last)
{
    const char *begin = (const char *)property->data;
    const char *next = last == NULL ? begin : last + strlen(last) + 1;

    return next < begin + property->size ? next : NULL;
}

bool bh_tree_compatible(const struct bh_tree_node *node, const char *word)
{
    const struct bh_tree_property *compatible = bh_tree_property(node, "compatible");

    if (compatible == NULL || !bh_tree_is_text(compatible))
        return false;
    for (const char *text = NULL; (text = bh_tree_next_text(compatible, text)) != NULL;) {
        if (strcmp(text, word) == 0)
            return true;
    }
    return false;
}

uint32_t bh_tree_cell(const uint8_t *data)
{
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static int code_of(int error)
{
    return error == ENOENT || error == ENOTDIR ? BH_ERR_NOENT : error == EACCES ? BH_ERR_ACCESS : BH_ERR_IO;
}

/* The file's first bytes, all of it when it is a blob. */
static int read_file(const char *file, uint8_t *data, size_t room, size_t *size, struct bh_report *report)
{
    const struct bh_diag_where where = {.file = file};
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    ssize_t got = 1;

    *size = 0;
    if (fd < 0 || fstat(fd, &status) < 0) {
        int error = errno;

        bh_report_error(report, &where, NULL, "name a .dts or a .dtb file", "cannot open the description: %s",
                        strerror(error));
        if (fd >= 0)
            close(fd);
        return code_of(error);
    }
    if (!S_ISREG(status.st_mode)) {
        bh_report_error(report, &where, NULL, "name a .dts or a .dtb file",
                        "the description is not a regular file");
        close(fd);
        return BH_ERR_IO;
    }
    while (*size < room && got > 0) {
        got = read(fd, data + *size, room - *size);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            *size += (size_t)got;
    }
    if (got < 0)
        bh_report_error(report, &where, NULL, NULL, "cannot read the description: %s", strerror(errno));
    close(fd);
    return got < 0 ? BH_ERR_IO : BH_OK;
}

static int read_source(struct bh_tree *tree, const char *file, struct bh_report *report)
{
    char *annotated = NULL;
    void *blob = NULL;
    size_t size = 0;
    int err = bh_dtc_run(file, report, &blob, &size, &annotated);

    if (err == BH_OK)
        err = bh_tree_from_blob(tree, file, blob, size, report);
    if (err == BH_OK && annotated != NULL)
        bh_tree_locate(tree, annotated);
    free(annotated);
    free(blob);
    return err;
}

int bh_tree_read(struct bh_tree *tree, const char *file, struct bh_report *report)
{
    uint8_t *data = malloc(BH_TREE_BYTES_MAX + 1);
    size_t size = 0;
    int err;

    if (data == NULL)
        return BH_ERR_NOMEM;
    err = read_file(file, data, BH_TREE_BYTES_MAX + 1, &size, report);
    if (err == BH_OK && size >= 4 && bh_tree_cell(data) == FDT_MAGIC)
        err = bh_tree_from_blob(tree, file, data, size, report);
    else if (err == BH_OK)
        err = read_source(tree, file, report);
    free(data);
    return err;
}
