#include "filter.h"

#include <string.h>

enum {
    KIND_AT = 12,
    KIND_ARP = 0x0806,
    KIND_IPV4 = 0x0800,
    DESTINATION_AT = 30,
    IPV4_HEADERS = 34, /* Ethernet's, and the fixed part of IPv4's */
};

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

/* Tell whether an IPv4 address is neither this host, link-local nor multicast. */
static bool is_outside(uint32_t address)
{
    uint32_t first = address >> 24;
    if (first == 0 || first == 127 || address >> 16 == 0xA9FE)
        return false;
    /* 240/4 is unused, but for the broadcast that a DHCP client starts with. */
    return first < 224 || address == 0xFFFFFFFF;
}

bool may_pass(const uint8_t *frame, size_t size)
{
    if (size < SHORTEST_FRAME)
        return false;
    int kind = frame[KIND_AT] << 8 | frame[KIND_AT + 1];
    if (kind == KIND_ARP)
        return true;
    return kind == KIND_IPV4 && size >= IPV4_HEADERS && is_outside(get_u32(frame + DESTINATION_AT));
}

uint8_t *outward_room(struct outward *out, size_t *room)
{
    size_t left = out->end - out->rest;
    if (out->rest > 0)
        memmove(out->bytes, out->bytes + out->rest, left);
    out->sent = out->passed = out->rest = 0;
    out->end = left;
    *room = sizeof out->bytes - left;
    return out->bytes + left;
}

bool outward_added(struct outward *out, size_t size, uint32_t *length)
{
    out->end += size;
    while (out->end - out->rest >= LENGTH_SIZE) {
        uint8_t *from = out->bytes + out->rest;
        *length = get_u32(from);
        if (*length < SHORTEST_FRAME || *length > LONGEST_FRAME)
            return false;
        size_t whole = LENGTH_SIZE + (size_t)*length;
        if (whole > out->end - out->rest)
            break;
        if (may_pass(from + LENGTH_SIZE, *length)) {
            if (out->passed != out->rest)
                memmove(out->bytes + out->passed, from, whole);
            out->passed += whole;
        }
        out->rest += whole;
    }
    return true;
}
