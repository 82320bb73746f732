/* Which flows a VM's user allows: rules in order, of which the first that matches decides; a flow that
 * none matches is denied. Pure. Fuzzed by fuzz/fuzz_policy.c.
 *
 * A rule is 12 bytes, big-endian: 1 to allow or 0 to deny, a protocol or 0 for all, the bits of
 * the network, 0, the network, the first and the last port. An ICMP flow has port 0. */
#ifndef BANGER_EGRESS_POLICY_H
#define BANGER_EGRESS_POLICY_H

#include "filter.h"

enum { RULE_SIZE = 12, MOST_RULES = 256 };

struct rule {
    bool allows;
    uint8_t protocol;
    uint8_t prefix;
    uint32_t network;
    uint16_t first, last;
};

struct policy {
    size_t count;
    struct rule rules[MOST_RULES];
};

/* Tells whether an address is the host's own. */
typedef bool is_own_address(void *context, uint32_t address);

/* Replace the rules. False: these are none, and the policy is what it was. */
bool parse_policy(struct policy *policy, const uint8_t *bytes, size_t size);

/* Tell whether a flow is allowed. No rule allows what is not outside of the host. A rule that
 * allows a whole network does not allow the host's own addresses in it: only one that names the
 * address does. */
bool is_allowed(const struct policy *policy, const struct flow *flow, is_own_address *is_own,
                void *context);

#endif
