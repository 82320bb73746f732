/* The program that stands between a guest's network card and passt, and drops what may not pass.
 *
 * passt opens a socket of the host for each flow of the guest, to the very address that the guest's
 * packet names. `--no-map-gw` keeps the gateway's address from meaning the host, but a guest
 * that writes 127.0.0.1 into its packets still reaches the host's loopback (seen with passt
 * 2023-03-09): every local service of the user and the ports that other VMs forward. So
 * frames pass here first (filter.h says which; hazard E4).
 *
 * Run as `banger-egress-filter GUEST-FD PASST-FD LABEL`, one for each VM, from before the VMM starts
 * until either side closes. Frames are as QEMU and passt speak: a length of four bytes, big-endian,
 * then an Ethernet frame. A length that no frame has ends the program, and with it the VM's network: only
 * a VMM that was taken over sends one. LABEL names the VM in the process list.
 *
 * Owns its two sockets; opens nothing; its last words go to stderr. If it dies, passt ends and
 * the VM runs on unconnected. */
#include "backlog.h"
#include "confine.h"
#include "filter.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct egress {
    int guest, world;
    struct backlog in;
    struct outward out;
};

static void say(const char *format, ...)
{
    char line[256] = "banger-egress-filter: ";
    size_t start = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + start, sizeof line - start - 1, format, arguments);
    va_end(arguments);
    size_t length = strlen(line);
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0)
        return; /* nobody listens: nothing to be done about it */
}

/* A side has closed, or broke the rules: that is how every filter ends. */
_Noreturn static void end(void)
{
    _exit(0);
}

/* As above, with the reason that the kernel gave. */
_Noreturn static void fail(void)
{
    say("%s", strerror(errno));
    end();
}

/* Receive what is there, at most `room` bytes; ends the program if the side has closed. */
static size_t receive(int fd, uint8_t *bytes, size_t room)
{
    ssize_t n = recv(fd, bytes, room, MSG_DONTWAIT);
    if (n > 0)
        return (size_t)n;
    if (n == 0)
        end();
    if (errno != EAGAIN && errno != EINTR)
        fail();
    return 0;
}

/* Send what is taken at once, and return how much that is. */
static size_t deliver(int fd, const uint8_t *bytes, size_t size)
{
    ssize_t n = send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0)
        return (size_t)n;
    if (errno != EAGAIN && errno != EINTR)
        fail();
    return 0;
}

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
        out->sent += deliver(egress->world, out->bytes + out->sent, out->passed - out->sent);
}

static void carry_in(struct egress *egress, bool is_ready)
{
    struct backlog *in = &egress->in;
    size_t room, size;
    uint8_t *at = backlog_room(in, &room);
    if (is_ready && room > 0)
        backlog_added(in, receive(egress->world, at, room < CHUNK ? room : CHUNK));
    const uint8_t *oldest = backlog_oldest(in, &size);
    if (size > 0)
        backlog_taken(in, deliver(egress->guest, oldest, size));
}

/* Wait for what can be done. A side that nothing is wanted of is left out: it would be reported
 * again and again once it has closed. */
static void turn(struct egress *egress)
{
    bool pending = outward_pending(&egress->out);
    struct pollfd guest = {egress->guest, 0, 0}, world = {egress->world, 0, 0};
    guest.events = (short)((pending ? 0 : POLLIN) | (egress->in.size > 0 ? POLLOUT : 0));
    world.events = (short)((pending ? POLLOUT : 0) | (egress->in.size < BACKLOG ? POLLIN : 0));
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

static int descriptor(const char *text)
{
    char *after;
    errno = 0;
    long number = strtol(text, &after, 10);
    if (!*text || *after || errno || number < 0 || number > 1 << 20) {
        say("%s: not a descriptor", text);
        _exit(2);
    }
    return (int)number;
}

int main(int count, char **words)
{
    static struct egress egress;
    if (count != 4) {
        say("usage: banger-egress-filter GUEST-FD PASST-FD LABEL");
        return 2;
    }
    egress.guest = descriptor(words[1]);
    egress.world = descriptor(words[2]);
    if (!backlog_open(&egress.in)) {
        say("no memory");
        return 1;
    }
    if (!confine())
        say("goes on without seccomp: %s", strerror(errno));
    for (;;)
        turn(&egress);
}
