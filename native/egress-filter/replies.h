/* What a guest is told of a frame that was denied: TCP is reset, everything else is answered by
 * "administratively prohibited" of ICMP or ICMPv6, so that programs fail at once. Pure. Fuzzed by
 * fuzz/fuzz_filter.c. */
#ifndef BANGER_EGRESS_REPLIES_H
#define BANGER_EGRESS_REPLIES_H

#include "filter.h"

enum { LONGEST_REPLY = 128 };

/* Write the answer to a frame of which `read_frame` gave a flow, and return its size; 0: there is no
 * answer to such a frame. */
size_t refuse_frame(uint8_t reply[LONGEST_REPLY], const uint8_t *frame, size_t size);

#endif
