/* A VMM behind a TAP: its frames come and go by the queue of a second TAP beside it.
 *
 * The queue comes as a message of whoever made the TAPs (native/tap/main.c), before the VMM starts;
 * the VMM then holds the other end of that connection for its life. Nothing holds a guest back
 * that sends too much: frames that find no room are lost, as on any wire, so there is a backlog on
 * the way out as well. */
#include "backlog.h"
#include "confine.h"
#include "ends.h"
#include "filter.h"
#include "offload.h"
#include "queue.h"
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* musl comes without the kernel's headers: <linux/if_tun.h>. */
#define TUN_SET_OFFLOAD 0x400454D0UL

enum {
    TURN = 64,    /* frames before the other way has its turn */
    RETRY_MS = 1, /* until the TAP's queue is looked at again */
};

struct tap {
    struct border *border;
    int lifeline, tap;
    struct world world;
    struct backlog out, in;
    struct queue queue;
    uint8_t frame[VNET_HEADER + LONGEST_FRAME]; /* the one under way */
};

/* Take the queue, and the statistics and the name of the VMM's TAP; ends the program if nobody
 * sends them. */
static void take_tap(struct tap *all)
{
    int fds[2];
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof fds)];
    } control;
    struct iovec content = {all->queue.name, NAME_LENGTH};
    struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
    message.msg_control = &control;
    message.msg_controllen = sizeof control.room;
    ssize_t n;
    while ((n = recvmsg(all->lifeline, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof fds))
        end();
    memcpy(fds, CMSG_DATA(header), sizeof fds);
    all->tap = fds[0];
    if (fcntl(all->tap, F_SETFL, O_NONBLOCK) < 0)
        fail();
    /* A bridge takes no segment that is larger than its MTU: the kernel is to cut them. */
    if (all->world.is_tap && ioctl(all->tap, (int)TUN_SET_OFFLOAD, 0UL) < 0)
        say("segments are not cut: %s", strerror(errno));
    all->queue.statistics = fds[1];
}

/* Wait for somebody to send something as long as the back end is there. */
static void await_tap(struct tap *all)
{
    struct pollfd polls[3] = {{all->lifeline, POLLIN, 0}, {all->world.fd, 0, 0}};
    do {
        polls[2] = border_poll(all->border);
        if (poll(polls, 3, -1) < 0 && errno != EINTR)
            fail();
        if (polls[2].revents)
            border_serve(all->border);
    } while (!polls[0].revents && !polls[1].revents);
    if (polls[0].revents == 0)
        end();
    take_tap(all);
}

/* Receive one frame behind its header; the size of both, 0 if there is none. */
static size_t receive_frame(struct tap *all)
{
    ssize_t n = read(all->tap, all->frame, sizeof all->frame);
    if (n == 0)
        end();
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        fail();
    return n > 0 ? (size_t)n : 0;
}

static void queue_frame(struct tap *all, uint8_t *frame, size_t size)
{
    const uint8_t length[LENGTH_SIZE] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16),
                                         (uint8_t)(size >> 8), (uint8_t)size};
    /* Judged as it leaves: a checksum may lie anywhere. */
    if (BACKLOG - all->out.size < LENGTH_SIZE + size ||
        !finish_frame(all->frame, frame, size) || !border_passes(all->border, frame, size))
        return;
    backlog_put(&all->out, length, sizeof length);
    backlog_put(&all->out, frame, size);
}

static void send_replies(struct tap *all)
{
    struct outbox *box = &all->border->to_guest;
    for (size_t at = 0; at < box->size;) {
        size_t size = box->bytes[at + LENGTH_SIZE - 1];
        memset(all->frame, 0, VNET_HEADER);
        memcpy(all->frame + VNET_HEADER, box->bytes + at + LENGTH_SIZE, size);
        if (write(all->tap, all->frame, VNET_HEADER + size) >= 0)
            all->queue.sent++;
        at += LENGTH_SIZE + size;
    }
    box->size = 0;
}

/* Those that find no room are lost, as all else that does. */
static void queue_resets(struct tap *all)
{
    struct outbox *box = &all->border->to_world;
    if (BACKLOG - all->out.size >= box->size)
        backlog_put(&all->out, box->bytes, box->size);
    box->size = 0;
}

static void carry_out(struct tap *all, bool is_ready)
{
    size_t size = 1;
    if (is_ready)
        own_refresh(&all->border->own);
    for (int i = 0; is_ready && i < TURN && size > 0 && border_lets_out(all->border); i++) {
        size = receive_frame(all);
        bucket_take(&all->border->out, size);
        if (size > VNET_HEADER)
            queue_frame(all, all->frame + VNET_HEADER, size - VNET_HEADER);
    }
    send_replies(all);
    queue_resets(all);
    world_send(&all->world, &all->out);
}

/* Tell whether a whole frame is there, and its size. */
static bool find_frame(const struct backlog *in, size_t *size)
{
    if (!backlog_length(in, 0, size))
        return false;
    require_length(*size);
    return in->size >= LENGTH_SIZE + *size;
}

/* Give the TAP the oldest frame. What the TAP does not take, such as one that is too long for the
 * guest's network, is lost. */
static void send_frame(struct tap *all, size_t size)
{
    uint8_t *before = all->frame + VNET_HEADER - LENGTH_SIZE;
    backlog_peek(&all->in, 0, before, LENGTH_SIZE + size);
    backlog_taken(&all->in, LENGTH_SIZE + size);
    memset(all->frame, 0, VNET_HEADER); /* the frame is whole, and its checksums are finished */
    if (write(all->tap, all->frame, VNET_HEADER + size) >= 0)
        all->queue.sent++;
}

/* Return false if frames wait for the TAP to have room. */
static bool carry_in(struct tap *all, bool is_ready)
{
    size_t size;
    if (is_ready && world_can_receive(&all->world, &all->in)) {
        size_t before = all->in.size;
        world_receive(&all->world, &all->in);
        bucket_take(&all->border->in, all->in.size - before);
    }
    while (find_frame(&all->in, &size)) {
        if (!queue_has_room(&all->queue))
            return false;
        send_frame(all, size);
    }
    return true;
}

static void turn(struct tap *all, int *wait_ms)
{
    struct pollfd polls[4] = {
        {all->lifeline, POLLIN, 0}, {-1, POLLIN, 0}, {all->world.fd, 0, 0}};
    polls[3] = border_poll(all->border);
    if (border_lets_out(all->border))
        polls[1].fd = all->tap;
    bool lets_in = border_lets_in(all->border) && world_can_receive(&all->world, &all->in);
    polls[2].events = (short)((all->out.size > 0 ? POLLOUT : 0) | (lets_in ? POLLIN : 0));
    if (polls[2].events == 0)
        polls[2].fd = -1;
    if (poll(polls, 4, border_wait_ms(all->border, *wait_ms)) < 0) {
        if (errno == EINTR)
            return;
        fail();
    }
    if (polls[0].revents)
        end(); /* the VMM says nothing there: it has ended, or was taken over */
    if (polls[3].revents)
        border_serve(all->border);
    carry_out(all, polls[1].revents != 0);
    *wait_ms = carry_in(all, polls[2].revents & ~POLLOUT) ? -1 : RETRY_MS;
}

_Noreturn void pass_tap(struct border *border, int guest, int world)
{
    static struct tap all;
    int wait_ms = -1;
    if (!backlog_open(&all.out) || !backlog_open(&all.in))
        fail();
    all.border = border;
    all.lifeline = guest;
    all.world = world_open(world);
    await_tap(&all);
    if (!confine())
        say("goes on without seccomp: %s", strerror(errno));
    for (;;)
        turn(&all, &wait_ms);
}
