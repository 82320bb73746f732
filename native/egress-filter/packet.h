/* Where things stand in the packet of a frame, in either version of IP. Pure.
 *
 * The functions that take a frame are for those of which `read_frame` gave a flow. */
#ifndef BANGER_EGRESS_PACKET_H
#define BANGER_EGRESS_PACKET_H

#include "filter.h"

/* Behind a header without options come the ports, so all ends of a connection stand together. */
struct layout {
    uint8_t header;           /* bytes of it without options */
    uint8_t ends_at, address; /* where its addresses are, and the bytes of one */
    uint8_t size_at, protocol_at, lives_at;
};

static inline uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)get_u16(at) << 16 | get_u16(at + 2);
}

static inline void put(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * (size - 1 - i));
}

static inline bool is_ipv6(const uint8_t *frame)
{
    return get_u16(frame + KIND_AT) == KIND_IPV6;
}

static inline const struct layout *layout_of(const uint8_t *frame)
{
    static const struct layout layouts[] = {{20, 26, 4, 16, 23, 22}, {40, 22, 16, 18, 20, 21}};
    return layouts + is_ipv6(frame);
}

/* Return the bytes of the header, options included. */
static inline size_t header_size(const uint8_t *frame)
{
    return is_ipv6(frame) ? layout_of(frame)->header : (size_t)(frame[ETHERNET] & 15) * 4;
}

/* Return the bytes of the packet, as it says itself. */
static inline size_t packet_size(const uint8_t *frame)
{
    const struct layout *layout = layout_of(frame);
    return get_u16(frame + layout->size_at) + (is_ipv6(frame) ? (size_t)layout->header : 0);
}

/* Return the ports of a header without options. */
static inline size_t ports_at(const struct layout *layout)
{
    return ETHERNET + layout->header;
}

/* Return where a frame goes; of an IPv6 address its last bytes. */
static inline uint32_t destination(const uint8_t *frame)
{
    return get_u32(frame + ports_at(layout_of(frame)) - 4);
}

#endif
