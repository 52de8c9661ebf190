/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stores of an image: its bytes moved by io_uring, or by a pool of threads where io_uring is not to be
 * had.
 *
 * Threading: as store.h, on the loop's thread.
 * Ownership: the image is the caller's and outlives the store.   May block: create and destroy.
 */
#ifndef DEVICES_BLK_STORE_FILE_H
#define DEVICES_BLK_STORE_FILE_H

#include "devices/blk/image.h"

enum bh_aio { BH_AIO_AUTO, BH_AIO_URING, BH_AIO_THREADS };

struct bh_store_file {
    struct bh_store store;
    struct bh_image *image;
    const char *aio; /* "io_uring", "threads" */
    void (*destroy)(struct bh_store_file *file);
};

/*
 * `depth`: requests that are in flight at most in ordinary use. What was chosen is said on the image's sink.
 * BH_ERR_UNSUPPORTED: io_uring was asked for and is forbidden or too old; BH_ERR_NOMEM, BH_ERR_IO.
 */
int bh_store_file_create(struct bh_loop *loop, struct bh_image *image, enum bh_aio aio, unsigned depth,
                         struct bh_store_file **file) BH_MUST_USE;
/* Nothing is in flight. NULL is allowed. */
void bh_store_file_destroy(struct bh_store_file *file);

/* For store_file.c: the ways themselves. `why` gets a static text when the answer is BH_ERR_UNSUPPORTED. */
int bh_store_uring_create(struct bh_loop *loop, struct bh_image *image, unsigned depth,
                          struct bh_store_file **file, const char **why) BH_MUST_USE;
int bh_store_threads_create(struct bh_loop *loop, struct bh_image *image, unsigned depth,
                            struct bh_store_file **file) BH_MUST_USE;

#endif
