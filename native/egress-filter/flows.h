/* The TCP connections of a guest, 4096 of them, each by what the guest sent last on it: enough to
 * reset both its sides when a new policy denies it. Pure. Fuzzed by fuzz/fuzz_filter.c. */
#ifndef BANGER_EGRESS_FLOWS_H
#define BANGER_EGRESS_FLOWS_H

#include "filter.h"

enum { FLOWS = 4096, KEPT = 74 /* the headers of Ethernet, IPv6 and TCP, without options */ };

struct flows {
    uint64_t now; /* counts frames */
    struct kept {
        uint64_t last; /* 0: there is none here */
        uint8_t frame[KEPT];
    } all[FLOWS];
};

/* Note a frame of which `read_frame` gave a flow, and which passed. Of a few connections that share a
 * place the one that was silent longest makes room. */
void note_frame(struct flows *flows, const uint8_t *frame, size_t size);

/* Return the size of what is kept. */
size_t kept_size(const struct kept *kept);

/* Write the reset that ends a connection on the side of the world, which has that size. */
void reset_world(uint8_t frame[KEPT], const struct kept *kept);

#endif
