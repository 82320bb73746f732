#include "offload.h"

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

/* The Internet checksum (RFC 1071), of any number of bytes below 4 GiB / 65535. */
static uint16_t sum(const uint8_t *bytes, size_t size)
{
    uint64_t total = 0;
    for (; size > 1; bytes += 2, size -= 2)
        total += (uint32_t)bytes[0] << 8 | bytes[1];
    if (size > 0)
        total += (uint32_t)bytes[0] << 8;
    while (total >> 16)
        total = (total & 0xFFFF) + (total >> 16);
    return (uint16_t)~total;
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
    uint16_t checksum = sum(frame + start, size - start); /* over what the guest left there */
    if (checksum == 0)
        checksum = 0xFFFF; /* in UDP 0 means that there is none; in TCP both are the same */
    frame[at] = (uint8_t)(checksum >> 8);
    frame[at + 1] = (uint8_t)checksum;
    return true;
}
