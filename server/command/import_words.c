#include "command/import_words.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/limits.h"

void import_words_free(struct import_words *words)
{
    text_free(&words->bytes);
    free(words->items);
    *words = (struct import_words){0};
}

void import_words_clear(struct import_words *words)
{
    words->bytes.len = 0;
    words->count = 0;
}

void import_words_begin(struct import_words *words, struct position at)
{
    void *items =
        words->count >= LIMIT_IMPORT_WORDS
            ? NULL
            : array_room(words->items, words->count, &words->capacity, sizeof(*words->items));
    if (items == NULL) {
        words->failed = true;
        return;
    }
    words->items = items;
    words->items[words->count++] = (struct word){.at = at};
}

void import_words_put(struct import_words *words, char byte)
{
    if (words->failed || words->count == 0)
        return;
    text_append(&words->bytes, (struct span){&byte, 1});
    words->items[words->count - 1].text.len++;
}

struct word *import_words_get(struct import_words *words)
{
    const char *place = words->bytes.data == NULL ? "" : words->bytes.data;
    words->failed = words->failed || words->bytes.failed;
    for (size_t i = 0; i < words->count && !words->failed; i++) {
        words->items[i].text.data = place;
        place += words->items[i].text.len;
    }
    return words->items;
}
