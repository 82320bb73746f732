/* What a guest's frame of IPv6 wants, on a network of which each address has an IPv4 address in its
 * last 32 bits, behind the network's 64 and as many zeros. Pure. Fuzzed by fuzz/fuzz_filter.c.
 *
 * TCP, UDP, echo and errors are judged as if they went to that IPv4 address. Neighbour solicitations
 * and advertisements go on, as ARP does, if they speak of their sender alone. A header of another
 * kind hides what is behind it, so nothing else passes: no fragment, no router's message. */
#ifndef BANGER_EGRESS_IPV6_H
#define BANGER_EGRESS_IPV6_H

#include "filter.h"

enum wish read_ipv6(const uint8_t *frame, size_t size, uint64_t network, struct flow *flow);

#endif
