/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which way the bytes of an image are moved: io_uring where the kernel has it and allows it, else threads;
 * chosen by trying, and said.
 */
#include "devices/blk/store_file.h"

int bh_store_file_create(struct bh_loop *loop, struct bh_image *image, enum bh_aio aio, unsigned depth,
                         struct bh_store_file **file)
{
    struct bh_diag_where where = {.file = image->path};
    const char *why = NULL;
    int err = BH_ERR_UNSUPPORTED;

    if (aio != BH_AIO_THREADS)
        err = bh_store_uring_create(loop, image, depth, file, &why);
    if (err == BH_ERR_UNSUPPORTED && aio == BH_AIO_URING) {
        bh_error(image->sink, &where, "say --aio=threads, or --aio=auto", "no io_uring: %s", why);
        return err;
    }
    if (err == BH_ERR_UNSUPPORTED)
        err = bh_store_threads_create(loop, image, depth, file);
    if (err != BH_OK) {
        bh_error(image->sink, &where, NULL, "cannot set up I/O: %s", bh_err_text(err));
        return err;
    }
    bh_note(image->sink, "%s: %llu bytes, I/O by %s%s%s", image->path,
            (unsigned long long)image->info.capacity, (*file)->aio, why ? ", io_uring: " : "",
            why ? why : "");
    return BH_OK;
}

void bh_store_file_destroy(struct bh_store_file *file)
{
    if (file)
        file->destroy(file);
}
