/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs of others that serve devices over vhost-user: found by the description files of vhost-user's program
 * conventions [vhost-user, "Backend program conventions"], by name, or by path.
 *
 * Threading: any.   Ownership: the text is the caller's buffer.   May block: it reads files.
 */
#ifndef PLAN_BACKEND_H
#define PLAN_BACKEND_H

#include <bulkhead/err.h>
#include <stddef.h>

/*
 * The absolute path of a program that can be executed. `name` is a path (it has a '/'), the name of a program that a
 * description file or PATH knows, or NULL: any that a description file says to serve `type` ("fs", "block"). The files
 * are read in the order in which QEMU reads them: the user's folder, /etc, /usr/share; by name within each. A file that
 * is none of its kind is passed over. BH_ERR_NOENT: none is found, or it cannot be executed.
 */
int bh_backend_find(const char *type, const char *name, char *path, size_t size) BH_MUST_USE;

#endif
