#include "replies.h"
#include "checksum.h"

#include <string.h>

enum {
    MAC = 6,
    IPV4 = 20,
    LENGTH_AT = 2,
    LIVES_AT = 8,
    PROTOCOL_AT = 9,
    CHECKSUM_AT = 10,
    SOURCE_AT = 12,
    DESTINATION_AT = 16,
    ADDRESS = 4,
    SEGMENT = 20, /* TCP's header without options */
    FLAGS_AT = 13,
    FIN = 1,
    SYN = 2,
    RST = 4,
    ACK = 16,
    ICMP_HEADER = 8,
    UNREACHABLE = 3,
    PROHIBITED = 13,
    QUOTED = 8, /* bytes after the header of a packet that ICMP repeats */
};

static void put_u16(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_u32(uint8_t *at, uint32_t value)
{
    put_u16(at, value >> 16);
    put_u16(at + 2, value & 0xFFFF);
}

static size_t least(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* Write the headers of Ethernet and IPv4, from where the frame goes to whence it comes. */
static void head(uint8_t *reply, const uint8_t *frame, uint8_t protocol, size_t content)
{
    uint8_t *ip = reply + ETHERNET;
    const uint8_t *asked = frame + ETHERNET;
    memset(reply, 0, ETHERNET + IPV4);
    memcpy(reply, frame + MAC, MAC);
    memcpy(reply + MAC, frame, MAC);
    if (frame[0] & 1)
        memcpy(reply + MAC, "\x02\0\0\0\0\1", MAC); /* to all: nobody has such an address */
    reply[ETHERNET - 2] = 8;
    ip[0] = 0x45;
    put_u16(ip + LENGTH_AT, IPV4 + content);
    ip[LIVES_AT] = 64;
    ip[PROTOCOL_AT] = protocol;
    memcpy(ip + SOURCE_AT, asked + DESTINATION_AT, ADDRESS);
    memcpy(ip + DESTINATION_AT, asked + SOURCE_AT, ADDRESS);
    put_u16(ip + CHECKSUM_AT, fold(add_words(0, ip, IPV4)));
}

static size_t reset(uint8_t *reply, const uint8_t *frame, size_t header, size_t size)
{
    const uint8_t *asked = frame + ETHERNET + header;
    uint8_t *ip = reply + ETHERNET, *segment = ip + IPV4, flags = asked[FLAGS_AT];
    size_t whole = least((size_t)frame[ETHERNET + 2] << 8 | frame[ETHERNET + 3], size - ETHERNET);
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
        put_u32(segment + 8, get_u32(asked + 4) + data + !!(flags & SYN) + (flags & FIN));
    }
    uint64_t pseudo = add_words(TCP + SEGMENT, ip + SOURCE_AT, 2 * ADDRESS);
    put_u16(segment + 16, fold(add_words(pseudo, segment, SEGMENT)));
    return ETHERNET + IPV4 + SEGMENT;
}

static size_t prohibit(uint8_t *reply, const uint8_t *frame, size_t header, size_t size)
{
    uint8_t *icmp = reply + ETHERNET + IPV4;
    size_t quoted = least(header + QUOTED, size - ETHERNET), content = ICMP_HEADER + quoted;
    head(reply, frame, ICMP, content);
    memset(icmp, 0, ICMP_HEADER);
    icmp[0] = UNREACHABLE;
    icmp[1] = PROHIBITED;
    memcpy(icmp + ICMP_HEADER, frame + ETHERNET, quoted);
    put_u16(icmp + 2, fold(add_words(0, icmp, content)));
    return ETHERNET + IPV4 + content;
}

size_t refuse_frame(uint8_t reply[LONGEST_REPLY], const uint8_t *frame, size_t size)
{
    size_t header = (size_t)(frame[ETHERNET] & 15) * 4, content = ETHERNET + header;
    bool is_request = size > content && frame[content] == 8; /* an echo; no error answers an error */
    uint32_t to = get_u32(frame + ETHERNET + DESTINATION_AT);
    if (!is_outside(to) || to == UINT32_MAX)
        return 0; /* no answer could come from there */
    switch (frame[ETHERNET + PROTOCOL_AT]) {
    case TCP:
        return size >= content + SEGMENT ? reset(reply, frame, header, size) : 0;
    case ICMP:
        return is_request ? prohibit(reply, frame, header, size) : 0;
    default:
        return prohibit(reply, frame, header, size);
    }
}
