/*
 * Rows of cells, printed as columns with two spaces between them. Widths are
 * counted in bytes. It never lacks memory (base/heap.h).
 */
#ifndef BASE_COLUMNS_H
#define BASE_COLUMNS_H

#include "base/text.h"

enum { COLUMNS_MOST = 9 };

struct columns_cell;

/* Begin with {.count = N}, at most COLUMNS_MOST; end with columns_free. */
struct columns {
    size_t count;               /* cells in a row */
    struct text text;           /* of all cells; append to it what the next cell says */
    struct columns_cell *cells; /* owned */
    size_t cell_count;
};

void columns_free(struct columns *columns);

/* What was appended to the text since the last cell is a cell. colour is static: what a terminal is sent
 * before it (ECMA-48), and "" for nothing. */
void columns_end_cell(struct columns *columns, const char *colour);

/* Adds a cell that says this. */
void columns_add(struct columns *columns, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Widens the columns to what is in the cells. */
void columns_measure(const struct columns *columns, size_t widths[static COLUMNS_MOST]);

/* Appends the rows. The widths are those of what was printed above them, or 0, and are widened. */
void columns_print(const struct columns *columns, size_t widths[static COLUMNS_MOST],
                   bool with_colours, struct text *out);

#endif
