#include "certificates/der.h"

#include <stdint.h>

int der_peek(struct span rest)
{
    return rest.len == 0 ? -1 : (unsigned char)rest.data[0];
}

bool der_take(struct span *rest, enum der_tag tag, struct span *ret_content, struct span *ret_whole)
{
    if (rest->len < 2 || der_peek(*rest) != (int)tag)
        return false;
    size_t header = 2, len = (unsigned char)rest->data[1];
    if (len > 0x7f) {
        size_t bytes = len & 0x7f;
        /* Nothing that we read has a length of more than three bytes; 0 means "indefinite". */
        if (bytes == 0 || bytes > 3 || rest->len < header + bytes)
            return false;
        len = 0;
        for (size_t i = 0; i < bytes; i++)
            len = len << 8 | (unsigned char)rest->data[header + i];
        header += bytes;
    }
    if (rest->len - header < len)
        return false;
    if (ret_content != NULL)
        *ret_content = (struct span){rest->data + header, len};
    if (ret_whole != NULL)
        *ret_whole = (struct span){rest->data, header + len};
    *rest = span_skip(*rest, header + len);
    return true;
}
