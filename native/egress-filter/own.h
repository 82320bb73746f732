/* The host's own addresses, asked of its kernel: where does a packet to an address go? What the
 * kernel says is kept until it announces that addresses, routes or rules have changed. */
#ifndef BANGER_EGRESS_OWN_H
#define BANGER_EGRESS_OWN_H

#include <stdbool.h>
#include <stdint.h>

enum { KNOWN = 256 };

struct own {
    int questions, changes;
    uint32_t number; /* of the last question */
    struct {
        uint32_t address;
        bool is_known, is_own;
    } known[KNOWN];
};

/* Open both of the kernel's sockets. */
bool own_open(struct own *own);

/* Forget what was kept if anything has changed since. */
void own_refresh(struct own *own);

/* Tell whether an address is the host's own, or a broadcast, or leads nowhere. An `is_own_address`. */
bool own_has(void *own, uint32_t address);

#endif
