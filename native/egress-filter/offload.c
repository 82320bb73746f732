#include "offload.h"
#include "checksum.h"

#include <string.h>

enum {
    FLAGS_AT = 0,
    KIND_AT = 1,
    START_AT = 6,
    OFFSET_AT = 8,
    NEEDS_CHECKSUM = 1,
    KIND_WHOLE = 0,
    KIND_TCP4 = 1,
    KIND_UDP = 3, /* one datagram, which the card would cut into fragments */
    KIND_ECN = 0x80,
};

static uint16_t get_u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

bool finish_frame(const uint8_t header[VNET_HEADER], uint8_t *frame, size_t size)
{
    int kind = header[KIND_AT] & ~KIND_ECN;
    if (kind != KIND_WHOLE && kind != KIND_TCP4 && kind != KIND_UDP)
        return false;
    if (!(header[FLAGS_AT] & NEEDS_CHECKSUM))
        return true;
    size_t start = get_u16(header + START_AT), at = start + get_u16(header + OFFSET_AT);
    if (at + 2 > size)
        return false;
    uint16_t checksum = fold(add_words(0, frame + start, size - start)); /* with the guest's sum */
    if (checksum == 0)
        checksum = 0xFFFF; /* in UDP 0 means that there is none; in TCP both are the same */
    frame[at] = (uint8_t)(checksum >> 8);
    frame[at + 1] = (uint8_t)checksum;
    return true;
}
