/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of others made fit to be shown: what a guest, a peer or a device process that one took over says may hold bytes
 * that mean something to a terminal, or to a reader of markup. Hosted code only.
 *
 * Threading: pure but for the file.   Ownership: the caller's memory, changed in place.   May block: bh_text_put_markup.
 */
#ifndef BULKHEAD_IMPL_TEXT_H
#define BULKHEAD_IMPL_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* Each control character becomes '?'; UTF-8 stays. For what is whole. */
void bh_text_clean(char *text, size_t length);
/* Each byte that is not printable ASCII becomes '?'. For what may be cut within a character. */
void bh_text_clean_ascii(char *text, size_t length);

/* As the text or an attribute's value of XML or HTML; control characters become blanks. */
void bh_text_put_markup(FILE *file, const char *text);

#endif
