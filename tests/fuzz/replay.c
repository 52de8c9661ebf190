/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target on every file of the folders named, so that any compiler can replay a corpus. A target that
 * finds something aborts; a folder without files is a mistake and fails.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/fuzz/target.h"

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat st;
    uint8_t *bytes;
    size_t size;

    if (file == NULL || fstat(fileno(file), &st) != 0) {
        perror(path);
        return 1;
    }
    /* Exactly as large as the input, so that a sanitizer sees a read past its end. */
    bytes = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
    size = bytes ? fread(bytes, 1, (size_t)st.st_size, file) : 0;
    fclose(file);
    if (bytes == NULL || size != (size_t)st.st_size) {
        fprintf(stderr, "%s: cannot be read whole\n", path);
        free(bytes);
        return 1;
    }
    fprintf(stderr, "%s\n", path); /* the last line tells which input it was */
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned files = 0;
    int failed = 0;

    for (int i = 1; i < argc; i++) {
        struct dirent **entries;
        int count = scandir(argv[i], &entries, NULL, alphasort);

        if (count < 0) {
            perror(argv[i]);
            return 1;
        }
        for (int k = 0; k < count; k++) {
            char path[4096];

            if (entries[k]->d_name[0] != '.') {
                snprintf(path, sizeof(path), "%s/%s", argv[i], entries[k]->d_name);
                failed |= run_file(path);
                files++;
            }
            free(entries[k]);
        }
        free(entries);
    }
    printf("%u inputs\n", files);
    return failed || files == 0;
}
