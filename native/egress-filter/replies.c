#include "replies.h"
#include "checksum.h"
#include "packet.h"

#include <string.h>

enum {
    MAC = 6,
    IPV4_CHECKSUM_AT = ETHERNET + 10,
    LIVES = 64,
    SEGMENT = 20, /* TCP's header without options */
    FLAGS_AT = 13,
    FIN = 1,
    SYN = 2,
    RST = 4,
    ACK = 16,
    ICMP6 = 58,
    ICMP_HEADER = 8,
    QUOTED = 8, /* bytes after the header of a packet that ICMP repeats */
};

/* What ICMP and ICMPv6 call the same. */
static const struct {
    uint8_t protocol, echo, unreachable, prohibited;
} icmps[] = {{ICMP, 8, 3, 13}, {ICMP6, 128, 1, 1}};

static size_t least(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* Write the headers of Ethernet and IP, from where the frame goes to whence it comes. */
static void head(uint8_t *reply, const uint8_t *frame, uint8_t protocol, size_t content)
{
    const struct layout *layout = layout_of(frame);
    const uint8_t *ends = frame + layout->ends_at;
    memset(reply, 0, ETHERNET + layout->header);
    memcpy(reply, frame + MAC, MAC);
    memcpy(reply + MAC, frame, MAC);
    if (frame[0] & 1)
        memcpy(reply + MAC, "\x02\0\0\0\0\1", MAC); /* to all: nobody has such an address */
    memcpy(reply + KIND_AT, frame + KIND_AT, 2);
    reply[layout->protocol_at] = protocol;
    reply[layout->lives_at] = LIVES;
    memcpy(reply + layout->ends_at, ends + layout->address, layout->address);
    memcpy(reply + layout->ends_at + layout->address, ends, layout->address);
    if (is_ipv6(frame)) {
        reply[ETHERNET] = 6 << 4;
        put(reply + layout->size_at, content, 2);
        return;
    }
    reply[ETHERNET] = 0x45;
    put(reply + layout->size_at, layout->header + content, 2);
    put(reply + IPV4_CHECKSUM_AT, fold(add_words(0, reply + ETHERNET, layout->header)), 2);
}

/* Return the sum of what TCP and ICMPv6 have before their own bytes. */
static uint64_t pseudo(const uint8_t *reply, uint8_t protocol, size_t content)
{
    const struct layout *layout = layout_of(reply);
    return add_words(protocol + content, reply + layout->ends_at, 2 * (size_t)layout->address);
}

static size_t reset(uint8_t *reply, const uint8_t *frame, size_t size)
{
    size_t header = header_size(frame), at = ports_at(layout_of(frame));
    const uint8_t *asked = frame + ETHERNET + header;
    uint8_t *segment = reply + at, flags = asked[FLAGS_AT];
    size_t whole = least(packet_size(frame), size - ETHERNET);
    size_t before = header + (size_t)(asked[12] >> 4) * 4;
    uint32_t data = whole > before ? (uint32_t)(whole - before) : 0;
    if (flags & RST)
        return 0;
    head(reply, frame, TCP, SEGMENT);
    memset(segment, 0, SEGMENT);
    memcpy(segment, asked + 2, 2);
    memcpy(segment + 2, asked, 2);
    segment[12] = 5 << 4;
    segment[FLAGS_AT] = RST;
    if (flags & ACK) {
        memcpy(segment + 4, asked + 8, 4);
    } else {
        segment[FLAGS_AT] |= ACK;
        put(segment + 8, get_u32(asked + 4) + data + !!(flags & SYN) + (flags & FIN), 4);
    }
    put(segment + 16, fold(add_words(pseudo(reply, TCP, SEGMENT), segment, SEGMENT)), 2);
    return at + SEGMENT;
}

static size_t prohibit(uint8_t *reply, const uint8_t *frame, size_t size)
{
    size_t at = ports_at(layout_of(frame));
    uint8_t *icmp = reply + at, protocol = icmps[is_ipv6(frame)].protocol;
    size_t quoted = least(header_size(frame) + QUOTED, size - ETHERNET);
    size_t content = ICMP_HEADER + quoted;
    head(reply, frame, protocol, content);
    memset(icmp, 0, ICMP_HEADER);
    icmp[0] = icmps[is_ipv6(frame)].unreachable;
    icmp[1] = icmps[is_ipv6(frame)].prohibited;
    memcpy(icmp + ICMP_HEADER, frame + ETHERNET, quoted);
    uint64_t before = is_ipv6(frame) ? pseudo(reply, protocol, content) : 0;
    put(icmp + 2, fold(add_words(before, icmp, content)), 2);
    return at + content;
}

size_t refuse_frame(uint8_t reply[LONGEST_REPLY], const uint8_t *frame, size_t size)
{
    size_t content = ETHERNET + header_size(frame);
    uint8_t protocol = frame[layout_of(frame)->protocol_at];
    uint32_t to = destination(frame);
    if (!is_outside(to) || to == UINT32_MAX)
        return 0; /* no answer could come from there */
    if (protocol == TCP)
        return size >= content + SEGMENT ? reset(reply, frame, size) : 0;
    /* Of ICMP an echo alone: no error answers an error. */
    if (protocol == icmps[is_ipv6(frame)].protocol &&
        (size == content || frame[content] != icmps[is_ipv6(frame)].echo))
        return 0;
    return prohibit(reply, frame, size);
}
