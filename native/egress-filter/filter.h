/* What a guest's frame wants (hazard E4), and the buffer that frames are filtered in.
 * Pure: no system calls, no allocation. Fuzzed by fuzz/fuzz_filter.c.
 *
 * ARP goes on. IPv4 of TCP, UDP and ICMP is judged by where it goes (policy.h), unless it is in
 * fragments, of which all but the first hide their port. A VLAN tag hides what is behind it, so no
 * tagged frame passes. IPv6 passes on a network that has it alone (ipv6.h). */
#ifndef BANGER_EGRESS_FILTER_H
#define BANGER_EGRESS_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LENGTH_SIZE = 4, /* big-endian, before each frame */
    SHORTEST_FRAME = 14,
    LONGEST_FRAME = 65535 + 18, /* an IPv4 packet and an Ethernet header with a tag */
    CHUNK = 256 * 1024,
    ETHERNET = 14,
    KIND_AT = 12,
    KIND_IPV6 = 0x86DD,
    ICMP = 1,
    TCP = 6,
    UDP = 17,
};

/* Where a frame goes. */
struct flow {
    uint32_t address;
    uint16_t port; /* 0 of ICMP */
    uint8_t protocol;
};

/* Tell whether an address is neither this host (0/8, 127/8) nor multicast (224/4). 240/4 is unused,
 * but for the broadcast that a DHCP client starts with. */
static inline bool is_outside(uint32_t address)
{
    uint32_t first = address >> 24;
    return (first != 0 && first != 127 && first < 224) || address == UINT32_MAX;
}

enum wish { NOTHING, PASSAGE, FLOW };

/* The way out. `bytes` holds frames that passed, of which `sent` bytes are sent, then (from
 * `rest` on, to `end`) the beginning of a frame. So there is always room for a CHUNK behind it. */
struct outward {
    size_t sent, passed, rest, end;
    uint8_t bytes[CHUNK + LENGTH_SIZE + LONGEST_FRAME];
};

/* Read a frame: it is dropped, it passes, or `flow` is judged. `network6`: the first bits of the
 * network's IPv6 addresses; 0: it has none. */
enum wish read_frame(const uint8_t *frame, size_t size, uint64_t network6, struct flow *flow);

/* Tells whether a frame may leave its VM. */
typedef bool may_pass(void *context, const uint8_t *frame, size_t size);

static inline bool outward_pending(const struct outward *out)
{
    return out->sent < out->passed;
}

/* Return where the guest's next bytes go, and how many fit. Only when nothing is pending. */
uint8_t *outward_room(struct outward *out, size_t *room);

/* Filter the whole frames that there are, now that `size` bytes were written to the room.
 * False: `*length` is one that no frame has, and nothing after it can be understood. */
bool outward_added(struct outward *out, size_t size, uint32_t *length, may_pass *passes,
                   void *context);

#endif
