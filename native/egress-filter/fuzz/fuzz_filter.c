/* The filter: any bytes, in pieces of any size, against the rule written down once more in the
 * plainest way; and the answers to what would be denied. The first byte of the input says how large
 * the pieces are. */
#include "filter.h"
#include "flows.h"
#include "replies.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static enum wish expect_wish(const uint8_t *frame, size_t size)
{
    if (frame[12] != 8)
        return NOTHING;
    if (frame[13] == 6)
        return PASSAGE;
    if (frame[13] != 0 || size < 34 || frame[14] < 0x45 || frame[14] > 0x4F)
        return NOTHING;
    if ((frame[20] & 0x3F) != 0 || frame[21] != 0 || size < 18 + 4 * (size_t)(frame[14] - 0x40))
        return NOTHING;
    return frame[23] == 1 || frame[23] == 6 || frame[23] == 17 ? FLOW : NOTHING;
}

/* Note a frame, and check what would reset its connection. */
static void keep(const uint8_t *frame, size_t size)
{
    static struct flows flows;
    uint64_t before = flows.now;
    uint8_t reset[KEPT];
    note_frame(&flows, frame, size);
    for (struct kept *each = flows.all; flows.now != before && each < flows.all + FLOWS; each++) {
        if (each->last != flows.now)
            continue;
        reset_world(reset, each);
        if (memcmp(reset + 26, frame + 26, 8) != 0 || reset[47] & ~20 || !(reset[47] & 4))
            abort();
    }
}

/* Check the answer to a frame; the frame is as long as it is, so that each byte beyond is seen. */
static void refuse(const uint8_t *given, size_t size)
{
    uint8_t *frame = malloc(size), *reply = malloc(LONGEST_REPLY);
    memcpy(frame, given, size);
    size_t length = refuse_frame(reply, frame, size);
    if (length > 0 && (memcmp(reply, frame + 6, 6) != 0 || memcmp(reply + 26, frame + 30, 4) != 0 ||
                       memcmp(reply + 30, frame + 26, 4) != 0 || length < 54))
        abort();
    free(reply);
    keep(frame, size);
    free(frame);
}

/* Lets half of the flows pass, by their address. */
static bool passes(void *context, const uint8_t *frame, size_t size)
{
    struct flow flow = {0, 0, 0};
    enum wish wish = read_frame(frame, size, &flow);
    (void)context;
    if (wish != expect_wish(frame, size))
        abort();
    if (wish == FLOW)
        refuse(frame, size);
    return wish == PASSAGE || (wish == FLOW && flow.address % 2 == 0);
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
        enum wish wish = expect_wish(bytes + at + 4, length);
        if (wish == PASSAGE || (wish == FLOW && bytes[at + 4 + 33] % 2 == 0)) {
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
        fine = outward_added(out, piece, &length, passes, NULL);
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
