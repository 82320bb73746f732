/* What a guest behind a TAP says of its frames, and the text of an interface's statistics. The first
 * ten bytes are a frame's header, the rest the frame; all of it is the text as well. */
#include "filter.h"
#include "offload.h"
#include "queue.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* The sum of RFC 1071 in the plainest way: whatever a checksum is of, with it the sum is all ones. */
static uint32_t sum(const uint8_t *bytes, size_t size)
{
    uint32_t total = 0;
    for (size_t i = 0; i < size; i++)
        total += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    while (total >> 16)
        total = (total & 0xFFFF) + (total >> 16);
    return total;
}

static uint16_t get_u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void try_frame(const uint8_t *header, const uint8_t *given, size_t size)
{
    uint8_t *frame = malloc(size + 1); /* as long as it is, so that each byte beyond is seen */
    memcpy(frame, given, size);
    size_t start = get_u16(header + 6), at = start + get_u16(header + 8);
    bool is_finished = finish_frame(header, frame, size);
    bool is_asked = header[0] & 1, is_inside = at + 2 <= size;
    if (is_finished && is_asked && !is_inside)
        abort();
    for (size_t i = 0; i < size; i++)
        if (frame[i] != given[i] && !(is_finished && is_asked && (i == at || i == at + 1)))
            abort();
    if (is_finished && is_asked) {
        uint32_t expected = ~sum(given + start, size - start) & 0xFFFF;
        uint32_t written = (uint32_t)frame[at] << 8 | frame[at + 1];
        if (written != expected && !(expected == 0 && written == 0xFFFF))
            abort();
    }
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size >= VNET_HEADER)
        try_frame(bytes, bytes + VNET_HEADER, size - VNET_HEADER);
    char *text = malloc(size + 1);
    memcpy(text, bytes, size);
    text[size] = 0;
    count_taken(text, "tap0");
    free(text);
    return 0;
}
