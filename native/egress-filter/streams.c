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
    struct border *border;
    int guest;
    struct world world;
    struct backlog in;
    size_t cleared; /* from the oldest byte on, to the end of a frame, which may not be there yet */
    struct outward out;
};

static bool has_replies(const struct egress *egress)
{
    return egress->border->to_guest.size > 0;
}

/* Tell whether something waits for the world. Resets have their turn between the guest's frames. */
static bool is_pending(const struct egress *egress)
{
    return outward_pending(&egress->out) || egress->border->to_world.size > 0;
}

static void box_sent(struct outbox *box, size_t size)
{
    box->sent += size;
    if (box->sent == box->size)
        box->sent = box->size = 0;
}

static void send_resets(struct egress *egress)
{
    struct outbox *box = &egress->border->to_world;
    box_sent(box, world_deliver(&egress->world, box->bytes + box->sent, box->size - box->sent));
}

/* The guest is read only when all that it sent before is gone: its socket holds it back. */
static void carry_out(struct egress *egress, bool is_ready)
{
    struct outward *out = &egress->out;
    if (is_ready && !is_pending(egress)) {
        uint32_t length;
        size_t room;
        uint8_t *at = outward_room(out, &room);
        size_t size = receive(egress->guest, at, room);
        bucket_take(&egress->border->out, size);
        own_refresh(&egress->border->own);
        if (!outward_added(out, size, &length, border_passes, egress->border)) {
            say("a frame of %lu bytes", (unsigned long)length);
            end();
        }
    }
    if (outward_pending(out))
        out->sent += world_deliver(&egress->world, out->bytes + out->sent, out->passed - out->sent);
    else if (is_pending(egress))
        send_resets(egress);
}

/* Clear whole frames for the guest, unless replies wait for their turn. */
static void clear_frames(struct egress *egress)
{
    size_t length;
    while (!has_replies(egress) && egress->cleared < CHUNK &&
           backlog_length(&egress->in, egress->cleared, &length)) {
        require_length(length);
        egress->cleared += LENGTH_SIZE + length;
    }
}

static void send_replies(struct egress *egress)
{
    struct outbox *box = &egress->border->to_guest;
    box_sent(box, deliver(egress->guest, box->bytes + box->sent, box->size - box->sent));
}

/* Tell whether there is something for the guest: what was cleared, or else replies. */
static bool can_give(const struct egress *egress)
{
    return egress->cleared > 0 ? egress->in.size > 0 : has_replies(egress);
}

static void carry_in(struct egress *egress, bool is_ready)
{
    struct backlog *in = &egress->in;
    size_t size;
    if (is_ready && world_can_receive(&egress->world, in)) {
        size_t before = in->size;
        world_receive(&egress->world, in);
        bucket_take(&egress->border->in, in->size - before);
    }
    if (egress->cleared == 0 && has_replies(egress))
        send_replies(egress);
    clear_frames(egress);
    const uint8_t *oldest = backlog_oldest(in, &size);
    if (size > egress->cleared)
        size = egress->cleared;
    if (size == 0)
        return;
    size = deliver(egress->guest, oldest, size);
    backlog_taken(in, size);
    egress->cleared -= size;
    clear_frames(egress);
}

/* Wait for what can be done. A side that nothing is wanted of is left out: it would be reported
 * again and again once it has closed. */
static void turn(struct egress *egress)
{
    bool pending = is_pending(egress);
    bool lets_out = border_lets_out(egress->border) && !pending;
    bool lets_in = border_lets_in(egress->border) && world_can_receive(&egress->world, &egress->in);
    struct pollfd polls[3] = {{egress->guest, 0, 0}, {egress->world.fd, 0, 0}};
    polls[2] = border_poll(egress->border);
    polls[0].events = (short)((lets_out ? POLLIN : 0) | (can_give(egress) ? POLLOUT : 0));
    polls[1].events = (short)((pending ? POLLOUT : 0) | (lets_in ? POLLIN : 0));
    for (int i = 0; i < 2; i++)
        if (polls[i].events == 0)
            polls[i].fd = -1;
    if (poll(polls, 3, border_wait_ms(egress->border, -1)) < 0) {
        if (errno == EINTR)
            return;
        fail();
    }
    if (polls[2].revents)
        border_serve(egress->border);
    carry_out(egress, polls[0].revents & ~POLLOUT);
    carry_in(egress, polls[1].revents & ~POLLOUT);
}

_Noreturn void pass_streams(struct border *border, int guest, int world)
{
    static struct egress egress;
    egress.border = border;
    egress.guest = guest;
    egress.world = world_open(world);
    if (!backlog_open(&egress.in))
        fail();
    if (!confine())
        say("goes on without seccomp: %s", strerror(errno));
    for (;;)
        turn(&egress);
}
