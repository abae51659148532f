/*
 * Any bytes as a settings image: they are refused, or mean what they say and are written again as the
 * same bytes.
 */
#include <assert.h>

#include "fuzz.h"
#include "supervise/settings_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text again = {0};
    struct span bytes = {(const char *)data, size};
    struct settings_image *image = settings_image_parse(bytes);
    if (image != NULL) {
        settings_image_print(image, &again);
        assert(!again.failed && span_equal((struct span){again.data, again.len}, bytes));
    }
    text_free(&again);
    settings_image_free(image);
    return 0;
}
