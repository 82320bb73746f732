#include "ipv6.h"
#include "packet.h"

#include <string.h>

enum {
    SIZE_AT = 18,
    NEXT_AT = 20,
    SOURCE_AT = 22,
    DESTINATION_AT = 38,
    CONTENT_AT = 54,
    ADDRESS = 16,
    SHORTEST = 8, /* UDP's header, and that of ICMPv6 */
    ICMP6 = 58,
    LAST_ERROR = 4, /* types from 1 on */
    ECHO = 128,
    ECHO_REPLY = 129,
    SOLICITATION = 135,
    ADVERTISEMENT = 136,
    ABOUT_AT = CONTENT_AT + 8, /* whose address is asked for, or told */
    OPTION_AT = ABOUT_AT + ADDRESS,
    NEIGHBOUR = OPTION_AT - CONTENT_AT,
    OPTION = 8,
    SENDERS_MAC_AT = 6,
};

/* Return the IPv4 address in an address of the network; 0, to which nothing goes: it has none. */
static uint32_t find_address(const uint8_t *at, uint64_t network)
{
    uint64_t first = (uint64_t)get_u32(at) << 32 | get_u32(at + 4);
    return first == network && get_u32(at + 8) == 0 ? get_u32(at + 12) : 0;
}

/* Tell whether a message that may have an option has none, or its sender's own MAC address. */
static bool has_own_mac(const uint8_t *frame, size_t content, uint8_t option)
{
    const uint8_t *at = frame + OPTION_AT;
    if (content == NEIGHBOUR)
        return true;
    return content == NEIGHBOUR + OPTION && at[0] == option && at[1] == 1 &&
           memcmp(at + 2, frame + SENDERS_MAC_AT, 6) == 0;
}

static bool is_solicitation(const uint8_t *frame, size_t content, uint64_t network)
{
    static const uint8_t solicited[] = {0xFF, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF};
    return has_own_mac(frame, content, 1) &&
           (find_address(frame + DESTINATION_AT, network) != 0 ||
            memcmp(frame + DESTINATION_AT, solicited, sizeof solicited) == 0);
}

static bool is_advertisement(const uint8_t *frame, size_t content, uint64_t network)
{
    return has_own_mac(frame, content, 2) && find_address(frame + DESTINATION_AT, network) != 0 &&
           memcmp(frame + ABOUT_AT, frame + SOURCE_AT, ADDRESS) == 0;
}

static enum wish read_icmp(const uint8_t *frame, size_t content, uint64_t network)
{
    uint8_t type = frame[CONTENT_AT];
    if (type == SOLICITATION)
        return is_solicitation(frame, content, network) ? PASSAGE : NOTHING;
    if (type == ADVERTISEMENT)
        return is_advertisement(frame, content, network) ? PASSAGE : NOTHING;
    bool is_error = type > 0 && type <= LAST_ERROR;
    return is_error || type == ECHO || type == ECHO_REPLY ? FLOW : NOTHING;
}

enum wish read_ipv6(const uint8_t *frame, size_t size, uint64_t network, struct flow *flow)
{
    if (size < CONTENT_AT + SHORTEST || frame[ETHERNET] >> 4 != 6)
        return NOTHING;
    size_t content = get_u16(frame + SIZE_AT);
    if (content < SHORTEST || content > size - CONTENT_AT ||
        find_address(frame + SOURCE_AT, network) == 0)
        return NOTHING;
    uint8_t protocol = frame[NEXT_AT];
    enum wish wish = protocol == TCP || protocol == UDP ? FLOW : NOTHING;
    if (protocol == ICMP6)
        wish = read_icmp(frame, content, network);
    flow->address = find_address(frame + DESTINATION_AT, network);
    flow->protocol = protocol == ICMP6 ? ICMP : protocol;
    flow->port = protocol == ICMP6 ? 0 : get_u16(frame + CONTENT_AT + 2);
    return wish == FLOW && flow->address == 0 ? NOTHING : wish;
}
