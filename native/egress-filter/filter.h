/* Which frames of a guest may leave its VM (hazard E4), and the buffer that they are filtered in.
 * Pure: no system calls, no allocation. Fuzzed by fuzz/fuzz_filter.c.
 *
 * Only ARP and IPv4 to addresses out in the world go on: not to this host (0/8, 127/8), not to
 * link-local addresses (169.254/16, where clouds keep credentials), not to multicast. An IPv4
 * header has its destination at the same place whatever options it has and whichever fragment
 * it is of. A VLAN tag hides what is behind it, so no tagged frame passes; nor does IPv6. */
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
};

/* The way out. `bytes` holds frames that passed, of which `sent` bytes are sent, then (from
 * `rest` on, to `end`) the beginning of a frame. So there is always room for a CHUNK behind it. */
struct outward {
    size_t sent, passed, rest, end;
    uint8_t bytes[CHUNK + LENGTH_SIZE + LONGEST_FRAME];
};

/* Tell whether a frame may leave its VM. */
bool may_pass(const uint8_t *frame, size_t size);

static inline bool outward_pending(const struct outward *out)
{
    return out->sent < out->passed;
}

/* Return where the guest's next bytes go, and how many fit. Only when nothing is pending. */
uint8_t *outward_room(struct outward *out, size_t *room);

/* Filter the whole frames that there are, now that `size` bytes were written to the room.
 * False: `*length` is one that no frame has, and nothing after it can be understood. */
bool outward_added(struct outward *out, size_t size, uint32_t *length);

#endif
