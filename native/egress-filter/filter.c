#include "filter.h"
#include "ipv6.h"
#include "packet.h"

#include <string.h>

enum {
    KIND_ARP = 0x0806,
    KIND_IPV4 = 0x0800,
    FRAGMENT_AT = 20,
    PROTOCOL_AT = 23,
    DESTINATION_AT = 30,
    IPV4_HEADER = 20, /* the fixed part */
    PORTS = 4,        /* bytes that TCP and UDP begin with: source and destination */
};

static enum wish read_ipv4(const uint8_t *frame, size_t size, struct flow *flow)
{
    size_t header = (size_t)(frame[ETHERNET] & 15) * 4, start = ETHERNET + header;
    bool has_more = get_u16(frame + FRAGMENT_AT) & 0x3FFF;
    if (frame[ETHERNET] >> 4 != 4 || header < IPV4_HEADER || has_more || start + PORTS > size)
        return NOTHING;
    flow->protocol = frame[PROTOCOL_AT];
    flow->address = get_u32(frame + DESTINATION_AT);
    flow->port = flow->protocol == ICMP ? 0 : get_u16(frame + start + 2);
    return flow->protocol == TCP || flow->protocol == UDP || flow->protocol == ICMP ? FLOW : NOTHING;
}

enum wish read_frame(const uint8_t *frame, size_t size, uint64_t network6, struct flow *flow)
{
    if (size < SHORTEST_FRAME)
        return NOTHING;
    int kind = get_u16(frame + KIND_AT);
    if (kind == KIND_ARP)
        return PASSAGE;
    if (kind == KIND_IPV6 && network6 != 0)
        return read_ipv6(frame, size, network6, flow);
    if (kind != KIND_IPV4 || size < ETHERNET + IPV4_HEADER)
        return NOTHING;
    return read_ipv4(frame, size, flow);
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

bool outward_added(struct outward *out, size_t size, uint32_t *length, may_pass *passes,
                   void *context)
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
        if (passes(context, from + LENGTH_SIZE, *length)) {
            if (out->passed != out->rest)
                memmove(out->bytes + out->passed, from, whole);
            out->passed += whole;
        }
        out->rest += whole;
    }
    return true;
}
