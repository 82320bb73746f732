/* The filter: any bytes, in pieces of any size, against the rule written down once more in the
 * plainest way. The first byte of the input says how large the pieces are. */
#include "filter.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static bool is_allowed(const uint8_t *frame, size_t size)
{
    static const uint8_t broadcast[4] = {255, 255, 255, 255};
    if (frame[12] != 8)
        return false;
    if (frame[13] == 6)
        return true;
    if (frame[13] != 0 || size < 34)
        return false;
    const uint8_t *to = frame + 30;
    if (memcmp(to, broadcast, 4) == 0)
        return true;
    return to[0] != 0 && to[0] != 127 && !(to[0] == 169 && to[1] == 254) && to[0] < 224;
}

/* Append what the whole input lets out to `passed`; false if it has an impossible length. */
static bool expect(const uint8_t *bytes, size_t size, uint8_t *passed, size_t *count)
{
    size_t at = 0;
    while (size - at >= 4) {
        size_t length = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 |
                        (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (length < 14 || length > 65553)
            return false;
        if (length > size - at - 4)
            return true;
        if (is_allowed(bytes + at + 4, length)) {
            memcpy(passed + *count, bytes + at, length + 4);
            *count += length + 4;
        }
        at += length + 4;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    size_t step = 1 + ((size_t)bytes[0] << (bytes[0] & 7)), count = 0, seen = 0;
    struct outward *out = calloc(1, sizeof *out);
    uint8_t *passed = malloc(size);
    bytes++, size--;
    bool fine = true, expected = expect(bytes, size, passed, &count);
    for (size_t at = 0; at < size && fine; at += step) {
        size_t room, piece = size - at < step ? size - at : step;
        uint32_t length;
        uint8_t *to = outward_room(out, &room);
        if (room < CHUNK)
            abort();
        memcpy(to, bytes + at, piece);
        fine = outward_added(out, piece, &length);
        if (out->passed > count - seen || memcmp(out->bytes, passed + seen, out->passed) != 0)
            abort();
        seen += out->passed;
    }
    if (fine != expected || seen != count)
        abort();
    free(passed);
    free(out);
    return 0;
}
