/* The border between a guest and the world: its policy, which comes by a socket, what it has denied,
 * and the answers to that. Until a policy has come everything but ARP is denied.
 *
 * The socket is a listening one of whole messages (SOCK_SEQPACKET). `P` and rules (policy.h) set
 * the policy, and are answered by `P` once it holds, by `E` if they are none; connections that the
 * new one denies are reset on both sides, as far as they are known (flows.h). `L` is answered by
 * `L` and the denials (denials.h). `R` and a number of eight bytes, big-endian, is answered by `R`, and
 * is how many bytes may pass each way in a second from then on; 0: any number. One client at a time; another one waits. */
#ifndef BANGER_EGRESS_BORDER_H
#define BANGER_EGRESS_BORDER_H

#include "bucket.h"
#include "denials.h"
#include "flows.h"
#include "own.h"
#include "policy.h"
#include "replies.h"

#include <poll.h>

enum { OUTBOX = 320 * 1024 }; /* for the resets of all connections that are kept, and replies */
_Static_assert(FLOWS * (LENGTH_SIZE + KEPT) < OUTBOX, "resets would be lost");

/* Frames of our own, each after its length, of which `sent` bytes are sent. */
struct outbox {
    size_t sent, size;
    uint8_t bytes[OUTBOX];
};

struct border {
    int control, client; /* -1: there is none */
    uint64_t network6;   /* see read_frame */
    struct policy policy;
    struct own own;
    struct denials denials;
    struct flows flows;
    struct outbox to_guest, to_world;
    struct bucket out, in;
};

/* Begin with no policy; false if the kernel's sockets cannot be had. */
bool border_open(struct border *border, int control, uint64_t network6);

/* Say what to wait for, and do what can be done. */
struct pollfd border_poll(const struct border *border);
void border_serve(struct border *border);

/* Tell whether anything may pass now, out of the guest and into it. */
bool border_lets_out(struct border *border);
bool border_lets_in(struct border *border);

/* Return how long to wait at most, `otherwise` or until something may pass again; -1: for ever. */
int border_wait_ms(const struct border *border, int otherwise);

/* Tell whether a frame may leave; if not, note that and leave an answer for the guest, if there is
 * room. A `may_pass`. Call `own_refresh` after frames were received. */
bool border_passes(void *border, const uint8_t *frame, size_t size);

#endif
