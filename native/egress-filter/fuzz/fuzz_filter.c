/* The filter: any bytes, in pieces of any size, against the rule written down once more in the
 * plainest way; and the answers to what would be denied. The first byte of the input says how large
 * the pieces are. */
#include "filter.h"
#include "flows.h"
#include "replies.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const uint8_t network[12] = {0xFD, 0x62, 0x61, 0x6E, 0x67, 0x65, 0x72};

/* Tell whether this is an address of the network, and of a machine. */
static bool is_inside(const uint8_t *at)
{
    return memcmp(at, network, sizeof network) == 0 && memcmp(at + 12, "\0\0\0\0", 4) != 0;
}

static enum wish expect_ipv6(const uint8_t *frame, size_t size)
{
    if (size < 62 || frame[14] < 0x60 || frame[14] > 0x6F)
        return NOTHING;
    size_t content = (size_t)frame[18] << 8 | frame[19];
    bool is_to_one = is_inside(frame + 38);
    bool is_to_asked = memcmp(frame + 38, "\xFF\2\0\0\0\0\0\0\0\0\0\1\xFF", 13) == 0;
    if (content < 8 || content > size - 54 || !is_inside(frame + 22) || !(is_to_one || is_to_asked))
        return NOTHING;
    bool is_plain = frame[20] == 6 || frame[20] == 17;
    if (frame[20] == 58)
        is_plain = (frame[54] > 0 && frame[54] < 5) || frame[54] == 128 || frame[54] == 129;
    if (is_plain)
        return is_to_one ? FLOW : NOTHING;
    bool is_asking = frame[54] == 135, is_telling = frame[54] == 136;
    if (frame[20] != 58 || !(is_asking || is_telling) || (content != 24 && content != 32))
        return NOTHING;
    if (is_telling && (!is_to_one || memcmp(frame + 22, frame + 62, 16) != 0))
        return NOTHING;
    if (content == 32 && (frame[78] != (is_asking ? 1 : 2) || frame[79] != 1 ||
                          memcmp(frame + 80, frame + 6, 6) != 0))
        return NOTHING;
    return PASSAGE;
}

static enum wish expect_wish(const uint8_t *frame, size_t size)
{
    if (frame[12] == 0x86 && frame[13] == 0xDD)
        return expect_ipv6(frame, size);
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

/* Where the addresses of a frame are, and the bytes of one. */
static size_t ends(const uint8_t *frame, size_t *address)
{
    bool is_ipv6 = frame[12] == 0x86;
    *address = is_ipv6 ? 16 : 4;
    return is_ipv6 ? 22 : 26;
}

/* Note a frame, and check what would reset its connection. */
static void keep(const uint8_t *frame, size_t size)
{
    static struct flows flows;
    uint64_t before = flows.now;
    uint8_t reset[KEPT];
    size_t address, at = ends(frame, &address), flags_at = at + 2 * address + 13;
    note_frame(&flows, frame, size);
    for (struct kept *each = flows.all; flows.now != before && each < flows.all + FLOWS; each++) {
        if (each->last != flows.now)
            continue;
        reset_world(reset, each);
        if (kept_size(each) != flags_at + 7 || memcmp(reset + at, frame + at, 2 * address) != 0 ||
            reset[flags_at] & ~20 || !(reset[flags_at] & 4))
            abort();
    }
}

/* Check the answer to a frame; the frame is as long as it is, so that each byte beyond is seen. */
static void refuse(const uint8_t *given, size_t size)
{
    uint8_t *frame = malloc(size), *reply = malloc(LONGEST_REPLY);
    memcpy(frame, given, size);
    size_t address, at = ends(frame, &address), length = refuse_frame(reply, frame, size);
    if (length > 0 &&
        (memcmp(reply, frame + 6, 6) != 0 || memcmp(reply + 12, frame + 12, 2) != 0 ||
         memcmp(reply + at, frame + at + address, address) != 0 ||
         memcmp(reply + at + address, frame + at, address) != 0 || length < at + 2 * address + 20))
        abort();
    free(reply);
    keep(frame, size);
    free(frame);
}

/* Lets half of the flows pass, by their address. */
static bool passes(void *context, const uint8_t *frame, size_t size)
{
    struct flow flow = {0, 0, 0};
    enum wish wish = read_frame(frame, size, UINT64_C(0xFD62616E67657200), &flow);
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
        if (wish == PASSAGE || (wish == FLOW && bytes[at + 4 + (bytes[at + 16] == 8 ? 33 : 53)] % 2 == 0)) {
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
