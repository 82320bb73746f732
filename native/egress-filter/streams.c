/* A VMM that takes a stream of frames: a length of four bytes, big-endian, then a frame. A
 * length that no frame has ends the program, and with it the VM's network: only a VMM that was
 * taken over sends one. */
#include "backlog.h"
#include "confine.h"
#include "ends.h"
#include "filter.h"
#include "world.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

struct egress {
    int guest;
    struct world world;
    struct backlog in;
    struct outward out;
};

/* The guest is read only when all that it sent before is gone: its socket holds it back. */
static void carry_out(struct egress *egress, bool is_ready)
{
    struct outward *out = &egress->out;
    if (is_ready && !outward_pending(out)) {
        uint32_t length;
        size_t room;
        uint8_t *at = outward_room(out, &room);
        if (!outward_added(out, receive(egress->guest, at, room), &length)) {
            say("a frame of %lu bytes", (unsigned long)length);
            end();
        }
    }
    if (outward_pending(out))
        out->sent += world_deliver(&egress->world, out->bytes + out->sent, out->passed - out->sent);
}

static void carry_in(struct egress *egress, bool is_ready)
{
    struct backlog *in = &egress->in;
    size_t size;
    if (is_ready && world_can_receive(&egress->world, in))
        world_receive(&egress->world, in);
    const uint8_t *oldest = backlog_oldest(in, &size);
    if (size > 0)
        backlog_taken(in, deliver(egress->guest, oldest, size));
}

/* Wait for what can be done. A side that nothing is wanted of is left out: it would be reported
 * again and again once it has closed. */
static void turn(struct egress *egress)
{
    bool pending = outward_pending(&egress->out);
    struct pollfd guest = {egress->guest, 0, 0}, world = {egress->world.fd, 0, 0};
    guest.events = (short)((pending ? 0 : POLLIN) | (egress->in.size > 0 ? POLLOUT : 0));
    world.events = (short)((pending ? POLLOUT : 0) | (world_can_receive(&egress->world, &egress->in) ? POLLIN : 0));
    struct pollfd polls[2] = {guest, world};
    for (int i = 0; i < 2; i++)
        if (polls[i].events == 0)
            polls[i].fd = -1;
    if (poll(polls, 2, -1) < 0) {
        if (errno == EINTR)
            return;
        fail();
    }
    carry_out(egress, polls[0].revents & ~POLLOUT);
    carry_in(egress, polls[1].revents & ~POLLOUT);
}

_Noreturn void pass_streams(int guest, int world)
{
    static struct egress egress;
    egress.guest = guest;
    egress.world = world_open(world);
    if (!backlog_open(&egress.in))
        fail();
    if (!confine())
        say("goes on without seccomp: %s", strerror(errno));
    for (;;)
        turn(&egress);
}
