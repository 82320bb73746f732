#include "flows.h"
#include "checksum.h"
#include "packet.h"

#include <string.h>

enum {
    SEGMENT = 20, /* TCP's header without options */
    PORTS = 4,
    SEQUENCE_AT = 4,
    FLAGS_AT = 13,
    CHECKSUM_AT = 16,
    FIN = 1,
    SYN = 2,
    RST = 4,
    ACK = 16,
    IPV4_CHECKSUM_AT = ETHERNET + 10,
    WAYS = 8, /* places that a connection may have */
};

/* Write the headers without options, as they would be of the next segment, which has no data. */
static bool condense(uint8_t *kept, const uint8_t *frame, size_t size)
{
    const struct layout *layout = layout_of(frame);
    size_t header = header_size(frame), start = ETHERNET + header;
    if (frame[layout->protocol_at] != TCP || size < start + SEGMENT)
        return false;
    uint8_t *segment = kept + ports_at(layout);
    memcpy(kept, frame, ETHERNET + layout->header);
    memcpy(segment, frame + start, SEGMENT);
    size_t whole = packet_size(frame), before = header + (size_t)(segment[12] >> 4) * 4;
    if (whole > size - ETHERNET)
        whole = size - ETHERNET;
    uint32_t data = whole > before ? (uint32_t)(whole - before) : 0;
    uint8_t flags = segment[FLAGS_AT];
    data += !!(flags & SYN) + (flags & FIN);
    put(segment + SEQUENCE_AT, get_u32(segment + SEQUENCE_AT) + data, 4);
    if (!is_ipv6(frame))
        kept[ETHERNET] = 0x45;
    put(kept + layout->size_at, is_ipv6(frame) ? SEGMENT : layout->header + SEGMENT, 2);
    segment[12] = 5 << 4;
    return true;
}

/* Tell whether two frames that are kept are of one connection. */
static bool is_same(const uint8_t *one, const uint8_t *other)
{
    const struct layout *layout = layout_of(one);
    return is_ipv6(one) == is_ipv6(other) && memcmp(one + layout->ends_at, other + layout->ends_at,
                                                    2 * (size_t)layout->address + PORTS) == 0;
}

/* Return the place of a connection: its own, a free one, or the oldest. */
static struct kept *find_place(struct flows *flows, const uint8_t *kept)
{
    const uint8_t *ports = kept + ports_at(layout_of(kept));
    uint32_t hash = destination(kept) * 2654435761U ^ get_u32(ports) * 2246822519U;
    struct kept *first = flows->all + (hash >> 16) % (FLOWS / WAYS) * WAYS, *oldest = first;
    for (struct kept *at = first; at < first + WAYS; at++) {
        if (at->last && is_same(at->frame, kept))
            return at;
        if (at->last < oldest->last)
            oldest = at;
    }
    return oldest;
}

void note_frame(struct flows *flows, const uint8_t *frame, size_t size)
{
    uint8_t kept[KEPT];
    if (!condense(kept, frame, size))
        return;
    struct kept *place = find_place(flows, kept);
    uint8_t *flags = kept + ports_at(layout_of(kept)) + FLAGS_AT;
    if (*flags & RST) {
        if (is_same(place->frame, kept))
            place->last = 0;
        return;
    }
    *flags &= ACK;
    memcpy(place->frame, kept, KEPT);
    place->last = ++flows->now;
}

size_t kept_size(const struct kept *kept)
{
    return ports_at(layout_of(kept->frame)) + SEGMENT;
}

void reset_world(uint8_t frame[KEPT], const struct kept *kept)
{
    const struct layout *layout = layout_of(kept->frame);
    uint8_t *segment = frame + ports_at(layout);
    memcpy(frame, kept->frame, KEPT);
    segment[FLAGS_AT] |= RST;
    if (!is_ipv6(frame)) {
        put(frame + IPV4_CHECKSUM_AT, 0, 2);
        put(frame + IPV4_CHECKSUM_AT, fold(add_words(0, frame + ETHERNET, layout->header)), 2);
    }
    put(segment + CHECKSUM_AT, 0, 4); /* and the urgent pointer */
    uint64_t pseudo = add_words(TCP + SEGMENT, frame + layout->ends_at, 2 * (size_t)layout->address);
    put(segment + CHECKSUM_AT, fold(add_words(pseudo, segment, SEGMENT)), 2);
}
