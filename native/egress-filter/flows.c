#include "flows.h"
#include "checksum.h"

#include <string.h>

enum {
    IPV4 = 20,
    SEGMENT = 20, /* TCP's header without options */
    PROTOCOL_AT = 23,
    ENDS_AT = 26, /* both addresses, and then both ports */
    ADDRESSES = 8,
    ENDS = 12,
    TCP_AT = ETHERNET + IPV4,
    FLAGS_AT = TCP_AT + 13,
    CHECKSUM_AT = TCP_AT + 16,
    FIN = 1,
    SYN = 2,
    RST = 4,
    ACK = 16,
    WAYS = 8, /* places that a connection may have */
};

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put(uint8_t *at, uint32_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * (size - 1 - i));
}

/* Write the headers without options, as they would be of the next segment, which has no data. */
static bool condense(uint8_t *kept, const uint8_t *frame, size_t size)
{
    size_t header = (size_t)(frame[ETHERNET] & 15) * 4, start = ETHERNET + header;
    if (frame[PROTOCOL_AT] != TCP || size < start + SEGMENT)
        return false;
    memcpy(kept, frame, ETHERNET + IPV4);
    memcpy(kept + TCP_AT, frame + start, SEGMENT);
    size_t whole = (size_t)frame[ETHERNET + 2] << 8 | frame[ETHERNET + 3];
    size_t before = header + (size_t)(kept[TCP_AT + 12] >> 4) * 4;
    if (whole > size - ETHERNET)
        whole = size - ETHERNET;
    uint32_t data = whole > before ? (uint32_t)(whole - before) : 0;
    uint8_t flags = kept[FLAGS_AT];
    put(kept + TCP_AT + 4, get_u32(kept + TCP_AT + 4) + data + !!(flags & SYN) + (flags & FIN), 4);
    kept[ETHERNET] = 0x45;
    put(kept + ETHERNET + 2, IPV4 + SEGMENT, 2);
    kept[TCP_AT + 12] = 5 << 4;
    return true;
}

/* Return the place of a connection: its own, a free one, or the oldest. */
static struct kept *find_place(struct flows *flows, const uint8_t *ends)
{
    uint32_t hash = get_u32(ends + 4) * 2654435761U ^ get_u32(ends + ADDRESSES) * 2246822519U;
    struct kept *first = flows->all + (hash >> 16) % (FLOWS / WAYS) * WAYS, *oldest = first;
    for (struct kept *at = first; at < first + WAYS; at++) {
        if (at->last && memcmp(at->frame + ENDS_AT, ends, ENDS) == 0)
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
    struct kept *place = find_place(flows, kept + ENDS_AT);
    if (kept[FLAGS_AT] & RST) {
        if (memcmp(place->frame + ENDS_AT, kept + ENDS_AT, ENDS) == 0)
            place->last = 0;
        return;
    }
    kept[FLAGS_AT] &= ACK;
    memcpy(place->frame, kept, KEPT);
    place->last = ++flows->now;
}

void reset_world(uint8_t frame[KEPT], const struct kept *kept)
{
    memcpy(frame, kept->frame, KEPT);
    frame[FLAGS_AT] |= RST;
    put(frame + ETHERNET + 10, 0, 2);
    put(frame + ETHERNET + 10, fold(add_words(0, frame + ETHERNET, IPV4)), 2);
    put(frame + CHECKSUM_AT, 0, 4); /* and the urgent pointer */
    uint64_t pseudo = add_words(TCP + SEGMENT, frame + ENDS_AT, ADDRESSES);
    put(frame + CHECKSUM_AT, fold(add_words(pseudo, frame + TCP_AT, SEGMENT)), 2);
}
