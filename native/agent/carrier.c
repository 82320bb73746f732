#include "carrier.h"

#include "agent.h"
#include "dispatch.h"
#include "files.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <dirent.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* From linux/vm_sockets.h, which a musl without kernel headers lacks */
struct vsock_address {
    sa_family_t family;
    uint16_t reserved;
    uint32_t port, cid;
    uint8_t zero[4];
};

enum {
    CID_ANY = -1,
    CID_HOST = 2,
    AGENT_PORT = 5005,
    PORT_WRITE = 4096, /* the virtio console copies each write into one kernel buffer; under
                          emulation pages are fastest */
};
enum { GET_LOCAL_CID = 0x7b9 }; /* IOCTL_VM_SOCKETS_GET_LOCAL_CID, _IO(7, 0xb9) */

/* Open the virtio-serial port `banger.agent.0`; returns -1 if there is none. */
static int open_port(void)
{
    char path[300], name[64];
    int fd = -1;
    DIR *ports = opendir("/sys/class/virtio-ports");
    for (struct dirent *entry; ports && fd < 0 && (entry = readdir(ports));) {
        snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
        if (read_file(path, name, sizeof name) < 0 || strcmp(name, "banger.agent.0") != 0)
            continue;
        snprintf(path, sizeof path, "/dev/%s", entry->d_name);
        fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    }
    if (ports)
        closedir(ports);
    return fd;
}

/* Tell whether there is a vsock device. Without a device the socket exists but leads nowhere, and
 * the agent must wait for the port, which the kernel may not have announced yet. */
static bool has_vsock_device(void)
{
    uint32_t cid = (uint32_t)CID_ANY;
    int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    int failed = ioctl(fd, GET_LOCAL_CID, &cid);
    close(fd);
    return !failed && cid != (uint32_t)CID_ANY && cid > CID_HOST;
}

static int open_listener(void)
{
    if (!has_vsock_device())
        return -1;
    struct vsock_address address = {AF_VSOCK, 0, AGENT_PORT, (uint32_t)CID_ANY, {0}};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Open the channel to the host. Polling a port returns POLLHUP while no host is connected, so an
 * edge-triggered epoll waits for the host without spinning. */
int carrier_open(struct agent *agent)
{
    struct carrier *carrier = &agent->carrier;
    carrier->listener = carrier->edge = -1;
    carrier->fd = open_port();
    if (carrier->fd < 0) {
        carrier->kind = CARRIER_VSOCK;
        carrier->listener = open_listener();
        return carrier->listener < 0 ? -1 : 0;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    carrier->kind = CARRIER_PORT;
    carrier->edge = epoll_create1(EPOLL_CLOEXEC);
    return epoll_ctl(carrier->edge, EPOLL_CTL_ADD, carrier->fd, &event);
}

static void look_for_port_host(struct carrier *carrier)
{
    struct epoll_event event;
    struct pollfd port = {carrier->fd, POLLIN, 0};
    epoll_wait(carrier->edge, &event, 1, 0); /* first, so that no later edge is lost */
    poll(&port, 1, 0);
    carrier->gone = port.revents & POLLHUP;
}

/* A new host replaces the previous one. Accept only the host: a process in the guest can also
 * reach the listener, through the loopback CID. */
static void accept_host(struct agent *agent)
{
    struct vsock_address peer = {0};
    socklen_t size = sizeof peer;
    int fd = accept4(agent->carrier.listener, (struct sockaddr *)&peer, &size,
                     SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (peer.cid != CID_HOST) {
        close(fd);
        return;
    }
    carrier_lost(agent);
    agent->carrier.fd = fd;
}

/* The host is gone: drop all requests in progress. */
void carrier_lost(struct agent *agent)
{
    struct carrier *carrier = &agent->carrier;
    streams_drop(agent);
    carrier->out_start = carrier->out_end = carrier->in_start = carrier->in_end = 0;
    frame_skip(&carrier->parser);
    agent->negotiated = false;
    switch (carrier->kind) {
    case CARRIER_SOCKET:
        agent->quit = true;
        break;
    case CARRIER_PORT:
        carrier->gone = true;
        look_for_port_host(carrier);
        break;
    case CARRIER_VSOCK:
        if (carrier->fd >= 0)
            close(carrier->fd);
        carrier->fd = -1;
        break;
    }
}

/* Tell whether there is room for the answers to one more frame. */
bool carrier_reads(const struct agent *agent)
{
    return agent->carrier.out_end - agent->carrier.out_start < OUT_HIGH;
}

/* Tell whether bytes already read wait for such room, and there is room now. */
bool carrier_waits(const struct agent *agent)
{
    return agent->carrier.in_start < agent->carrier.in_end && carrier_reads(agent);
}

static void take_frames(struct agent *agent)
{
    struct carrier *carrier = &agent->carrier;
    struct frame frame;
    bool ready;
    while (carrier_waits(agent) && !agent->quit) {
        carrier->in_start += frame_feed(&carrier->parser, carrier->in + carrier->in_start,
                                        carrier->in_end - carrier->in_start, &frame, &ready);
        if (ready)
            dispatch(agent, &frame);
    }
}

static void read_host(struct agent *agent)
{
    struct carrier *carrier = &agent->carrier;
    ssize_t n = read(carrier->fd, carrier->in, sizeof carrier->in);
    if (n > 0) {
        carrier->in_start = 0;
        carrier->in_end = (size_t)n;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        carrier_lost(agent);
}

void carrier_serve(struct agent *agent, short events, bool knock)
{
    struct carrier *carrier = &agent->carrier;
    if (knock)
        accept_host(agent);
    if (carrier->gone)
        look_for_port_host(carrier);
    else if (carrier->kind == CARRIER_PORT && (events & POLLHUP))
        carrier_lost(agent);
    else if (carrier->fd >= 0 && carrier->in_start == carrier->in_end &&
             (events & (POLLIN | POLLHUP | POLLERR)) && carrier_reads(agent))
        read_host(agent);
    take_frames(agent);
}

void carrier_flush(struct agent *agent)
{
    struct carrier *carrier = &agent->carrier;
    while (carrier->fd >= 0 && !carrier->gone && carrier->out_start < carrier->out_end) {
        size_t size = carrier->out_end - carrier->out_start;
        if (carrier->kind == CARRIER_PORT && size > PORT_WRITE)
            size = PORT_WRITE;
        ssize_t n = write(carrier->fd, carrier->out + carrier->out_start, size);
        if (n > 0) {
            carrier->out_start += (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            carrier_lost(agent);
        return;
    }
    if (carrier->out_start == carrier->out_end)
        carrier->out_start = carrier->out_end = 0;
}

bool carrier_room(const struct agent *agent)
{
    return agent->carrier.out_end - agent->carrier.out_start < OUT_DATA_HIGH;
}

/* Return the place of the next frame, with room for the largest size, or NULL. */
uint8_t *carrier_reserve(struct agent *agent)
{
    struct carrier *carrier = &agent->carrier;
    size_t queued = carrier->out_end - carrier->out_start;
    if (OUT_SIZE - carrier->out_end < FRAME_MAX + FRAME_OVERHEAD) {
        memmove(carrier->out, carrier->out + carrier->out_start, queued);
        carrier->out_start = 0;
        carrier->out_end = queued;
    }
    bool fits = OUT_SIZE - carrier->out_end >= FRAME_MAX + FRAME_OVERHEAD;
    return fits ? carrier->out + carrier->out_end : NULL;
}

void send_frame(struct agent *agent, enum frame_type type, uint32_t stream, uint8_t channel,
                const void *payload, size_t size)
{
    uint8_t *at = carrier_reserve(agent);
    if (!at) { /* OUT_HIGH makes this impossible; a silently lost frame would hang a waiter */
        say("output overflow");
        carrier_lost(agent);
        return;
    }
    struct frame frame = {(uint8_t)type, channel, 0, stream, (uint32_t)size, NULL};
    frame_put_header(at, &frame);
    if (size && payload != at + FRAME_HEADER)
        memcpy(at + FRAME_HEADER, payload, size);
    at[FRAME_HEADER + size] = FRAME_END;
    agent->carrier.out_end += FRAME_OVERHEAD + size;
}

void send_fields(struct agent *agent, enum frame_type type, uint32_t stream,
                 const struct writer *writer)
{
    send_frame(agent, type, stream, 0, writer->at, writer->size);
}
