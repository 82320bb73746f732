#include "own.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* musl comes without the kernel's headers: <linux/netlink.h>, <linux/rtnetlink.h>. */
enum {
    NETLINK_ROUTE = 0,
    ANNOUNCED = 0x10 | 0x40 | 0x80, /* RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV4_RULE */
    GET_ROUTE = 26,
    NEW_ROUTE = 24,
    IS_REQUEST = 1,
    DESTINATION = 1, /* RTA_DST */
    UNICAST = 1,     /* RTN_UNICAST: to another machine */
    LONGEST_ANSWER = 4096,
};

struct netlink_address {
    uint16_t family, unused;
    uint32_t port, groups;
};

struct message {
    uint32_t length;
    uint16_t kind, flags;
    uint32_t number, port;
};

struct route {
    uint8_t family, to_bits, from_bits, service, table, protocol, scope, kind;
    uint32_t flags;
};

struct question {
    struct message message;
    struct route route;
    uint16_t length, kind;
    uint8_t address[4];
};

static int open_netlink(uint32_t groups)
{
    struct netlink_address address = {.family = AF_NETLINK, .groups = groups};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    return fd;
}

bool own_open(struct own *own)
{
    memset(own, 0, sizeof *own);
    own->changes = open_netlink(ANNOUNCED);
    own->questions = open_netlink(0);
    return own->changes >= 0 && own->questions >= 0;
}

void own_refresh(struct own *own)
{
    char announcement[LONGEST_ANSWER];
    bool has_changed = false;
    while (recv(own->changes, announcement, sizeof announcement, MSG_DONTWAIT) >= 0 ||
           errno == ENOBUFS)
        has_changed = true;
    if (has_changed)
        memset(own->known, 0, sizeof own->known);
}

/* The kernel answers before `send` returns. No answer, or an error: not to another machine. */
static bool leads_away(int fd, uint32_t number, uint32_t address)
{
    struct question question = {
        .message = {sizeof question, GET_ROUTE, IS_REQUEST, number, 0},
        .route = {.family = AF_INET, .to_bits = 32},
        .length = 8,
        .kind = DESTINATION,
        .address = {(uint8_t)(address >> 24), (uint8_t)(address >> 16), (uint8_t)(address >> 8),
                    (uint8_t)address},
    };
    struct {
        struct message message;
        struct route route;
        uint8_t rest[LONGEST_ANSWER];
    } answer;
    if (send(fd, &question, sizeof question, 0) != sizeof question)
        return false;
    ssize_t n;
    do
        n = recv(fd, &answer, sizeof answer, MSG_DONTWAIT);
    while (n >= (ssize_t)sizeof answer.message && answer.message.number != number);
    return n >= (ssize_t)(sizeof answer.message + sizeof answer.route) &&
           answer.message.kind == NEW_ROUTE && answer.route.kind == UNICAST;
}

bool own_has(void *context, uint32_t address)
{
    struct own *own = context;
    size_t place = (address ^ address >> 8 ^ address >> 16) % KNOWN;
    if (!own->known[place].is_known || own->known[place].address != address) {
        own->known[place].address = address;
        own->known[place].is_own = !leads_away(own->questions, ++own->number, address);
        own->known[place].is_known = true;
    }
    return own->known[place].is_own;
}
