#include "base/columns.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/heap.h"

struct columns_cell {
    size_t begin, len; /* in the text */
    const char *colour;
};

void columns_free(struct columns *columns)
{
    text_free(&columns->text);
    free(columns->cells);
    *columns = (struct columns){0};
}

void columns_end_cell(struct columns *columns, const char *colour)
{
    const struct columns_cell *last =
        columns->cell_count == 0 ? NULL : &columns->cells[columns->cell_count - 1];
    size_t begin = last == NULL ? 0 : last->begin + last->len;
    *ARRAY_ADD(columns->cells, columns->cell_count) =
        (struct columns_cell){begin, columns->text.len - begin, colour};
}

void columns_add(struct columns *columns, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_vprintf(&columns->text, format, arguments);
    va_end(arguments);
    columns_end_cell(columns, "");
}

void columns_measure(const struct columns *columns, size_t widths[static COLUMNS_MOST])
{
    for (size_t i = 0; i < columns->cell_count; i++)
        if (columns->cells[i].len > widths[i % columns->count])
            widths[i % columns->count] = columns->cells[i].len;
}

void columns_print(const struct columns *columns, size_t widths[static COLUMNS_MOST],
                   bool with_colours, struct text *out)
{
    struct span text = heap_text(&columns->text);
    columns_measure(columns, widths);
    for (size_t i = 0; i < columns->cell_count; i++) {
        const struct columns_cell *cell = &columns->cells[i];
        size_t column = i % columns->count;
        bool is_coloured = with_colours && cell->colour[0] != '\0';
        text_append(out, span_of(is_coloured ? cell->colour : ""));
        text_append(out, (struct span){text.data + cell->begin, cell->len});
        text_append(out, span_of(is_coloured ? "\033[0m" : ""));
        if (column + 1 < columns->count)
            text_printf(out, "%*s", (int)(widths[column] - cell->len + 2), "");
        else
            text_append(out, span_of("\n"));
    }
}
