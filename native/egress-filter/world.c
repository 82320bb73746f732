#include "world.h"

#include "ends.h"
#include "filter.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    TURN = 64, /* messages before the other way has its turn */
    WHOLE = LENGTH_SIZE + LONGEST_FRAME,
};

static uint8_t whole[WHOLE]; /* the frame under way, behind its length */

static size_t get_length(const uint8_t at[LENGTH_SIZE])
{
    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

struct world world_open(int fd)
{
    int kind;
    socklen_t size = sizeof kind;
    bool is_socket = getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &size) == 0;
    if (!is_socket && errno != ENOTSOCK)
        fail();
    return (struct world){fd, is_socket && kind == SOCK_STREAM, !is_socket};
}

/* Deliver one frame, or nothing. */
static size_t deliver_whole(const struct world *world, const uint8_t *frame, size_t size)
{
    return world->is_tap ? put_frame(world->fd, frame, size) : deliver(world->fd, frame, size);
}

size_t world_deliver(const struct world *world, const uint8_t *frames, size_t size)
{
    size_t sent = 0;
    if (world->is_stream)
        return deliver(world->fd, frames, size);
    while (sent < size) {
        size_t length = get_length(frames + sent);
        if (deliver_whole(world, frames + sent + LENGTH_SIZE, length) == 0)
            break;
        sent += LENGTH_SIZE + length;
    }
    return sent;
}

void world_send(const struct world *world, struct backlog *out)
{
    size_t size = 1;
    while (out->size > 0 && size > 0) {
        const uint8_t *oldest = backlog_oldest(out, &size);
        if (!world->is_stream) { /* the ring may cut a frame */
            backlog_peek(out, 0, whole, LENGTH_SIZE);
            size = LENGTH_SIZE + get_length(whole);
            backlog_peek(out, 0, whole, size);
            oldest = whole;
        }
        size = world_deliver(world, oldest, size);
        backlog_taken(out, size);
    }
}

bool world_can_receive(const struct world *world, const struct backlog *in)
{
    return BACKLOG - in->size >= (world->is_stream ? 1 : WHOLE);
}

static bool receive_message(const struct world *world, struct backlog *in)
{
    uint8_t *frame = whole + LENGTH_SIZE;
    size_t size = world->is_tap ? take_frame(world->fd, frame, LONGEST_FRAME)
                                : receive(world->fd, frame, LONGEST_FRAME);
    for (int i = 0; i < LENGTH_SIZE; i++)
        whole[i] = (uint8_t)(size >> (8 * (LENGTH_SIZE - 1 - i)));
    if (size > 0)
        backlog_put(in, whole, LENGTH_SIZE + size);
    return size > 0;
}

void world_receive(const struct world *world, struct backlog *in)
{
    if (world->is_stream) {
        size_t room;
        uint8_t *at = backlog_room(in, &room);
        backlog_added(in, receive(world->fd, at, room < CHUNK ? room : CHUNK));
        return;
    }
    for (int i = 0; i < TURN && world_can_receive(world, in) && receive_message(world, in); i++)
        ;
}
