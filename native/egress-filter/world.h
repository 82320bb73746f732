/* What leads away from the guest. The program that speaks for the host has a socket: passt takes a
 * stream, with a length of four bytes before each frame; slirp4netns one message for each frame. A
 * bridge has a TAP, whose queue takes one frame with each call, and is not to wait (O_NONBLOCK). */
#ifndef BANGER_EGRESS_WORLD_H
#define BANGER_EGRESS_WORLD_H

#include "backlog.h"

struct world {
    int fd;
    bool is_stream, is_tap;
};

/* Look what kind it is. */
struct world world_open(int fd);

/* Send what is taken at once of whole frames, each behind its length; return how many bytes of
 * them that is. */
size_t world_deliver(const struct world *world, const uint8_t *frames, size_t size);

/* Send what is taken at once of a backlog of such frames. */
void world_send(const struct world *world, struct backlog *out);

/* Tell whether the backlog has room for what may come. */
bool world_can_receive(const struct world *world, const struct backlog *in);

/* Add what has come to the backlog, as a stream. Only when there is room. */
void world_receive(const struct world *world, struct backlog *in);

#endif
