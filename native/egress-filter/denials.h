/* The flows that were denied most recently, each once with how often, 256 of them. Pure. */
#ifndef BANGER_EGRESS_DENIALS_H
#define BANGER_EGRESS_DENIALS_H

#include "filter.h"

enum { MOST_DENIALS = 256, DENIAL_SIZE = 20 };

struct denials {
    size_t count;
    struct denial {
        uint64_t last_s; /* of the Unix epoch */
        struct flow flow;
        uint32_t times;
    } all[MOST_DENIALS];
};

/* Note a flow; the one that was denied longest ago makes room. */
void note_denial(struct denials *denials, const struct flow *flow, uint64_t now_s);

/* Write all of them and return their size; each is its time, address, port, protocol, 0, and how
 * often, big-endian. */
size_t write_denials(const struct denials *denials, uint8_t bytes[MOST_DENIALS * DENIAL_SIZE]);

#endif
