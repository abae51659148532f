/*
 * Any bytes as a settings image: they are refused, or mean what they say and are written again as the
 * same bytes.
 */
#include <assert.h>

#include "fuzz.h"
#include "supervise/settings_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings_image image;
    struct text again = {0};
    struct span bytes = {(const char *)data, size};
    struct arena *arena = arena_new();
    assert(arena != NULL);
    if (settings_image_parse(bytes, arena, &image)) {
        settings_image_print(&image, &again);
        assert(!again.failed && span_equal((struct span){again.data, again.len}, bytes));
    }
    text_free(&again);
    arena_free(arena);
    return 0;
}
