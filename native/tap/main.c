/* Starts a VMM, or its jail, in a network namespace of its own that has nothing but a TAP.
 *
 *     VMM == TAP -- bridge -- TAP == egress filter
 *
 * Run as `banger-tap FD NAME COMMAND...` by an ordinary user. Makes a user namespace, in which the
 * user is who he was, and a network namespace with the TAP NAME, which the VMM then opens by its
 * name, and a bridge to a second TAP. Sends the second TAP's queue through FD, a Unix socket that leads
 * to the egress filter, and becomes COMMAND, which has no privilege in either namespace. FD stays
 * open: when the last process that has it has ended the filter ends, and with it the namespace.
 * With FD `-` nothing is sent: whether all of this works here is what is asked.
 *
 * The TAPs have virtio-net headers and one queue, as VMMs open them. Why two: nobody but the VMM can
 * read its queue, and a packet socket on the TAP loses frames as soon as its reader is late, which
 * passt does not get over (ADR 0074).
 *
 * Owns nothing that outlives it. Says on stderr what fails, and ends with status 1. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* musl comes without the kernel's headers: <linux/if_tun.h>, <linux/sockios.h>. */
enum {
    TUN_TAP = 0x0002,
    TUN_NO_INFO = 0x1000,
    TUN_VNET_HEADER = 0x4000,
    OFFLOAD_CHECKSUM = 0x01,
    OFFLOAD_TCP4 = 0x02,
    OFFLOAD_ECN = 0x08,
    BRIDGE_ADD = 0x89A0,
    BRIDGE_ADD_PORT = 0x89A2,
    LONGEST_DATAGRAM = 8192, /* passt sends a datagram in one frame, however long it is */
};
#define TUN_SET_INTERFACE 0x400454CAUL
#define TUN_SET_PERSISTENT 0x400454CBUL
#define TUN_SET_OWNER 0x400454CCUL
#define TUN_SET_OFFLOAD 0x400454D0UL

static const char bridge[] = "bridge0", filter[] = "filter0";

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "banger-tap: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        fail(path);
    close(fd);
}

static void enter_namespaces(void)
{
    char users[64], groups[64];
    unsigned uid = getuid(), gid = getgid();
    snprintf(users, sizeof users, "%u %u 1", uid, uid);
    snprintf(groups, sizeof groups, "%u %u 1", gid, gid);
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET))
        fail("user and network namespace");
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", users);
    write_file("/proc/self/gid_map", groups);
}

static struct ifreq interface_named(const char *name)
{
    struct ifreq interface = {0};
    snprintf(interface.ifr_name, sizeof interface.ifr_name, "%s", name);
    return interface;
}

/* Return a new TAP's queue. */
static int make_tap(const char *name)
{
    struct ifreq interface = interface_named(name);
    interface.ifr_flags = TUN_TAP | TUN_NO_INFO | TUN_VNET_HEADER;
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        fail("/dev/net/tun");
    if (ioctl(fd, TUN_SET_INTERFACE, &interface))
        fail(name);
    return fd;
}

/* The VMM's TAP waits for the VMM, which may open it without privilege. */
static void make_tap_to_come(const char *name)
{
    int fd = make_tap(name);
    if (ioctl(fd, TUN_SET_OWNER, (unsigned long)getuid()) || ioctl(fd, TUN_SET_PERSISTENT, 1UL))
        fail("keep the TAP");
    close(fd);
}

/* The filter takes segments whole, and checksums that are not finished. */
static int make_filters_tap(void)
{
    int fd = make_tap(filter);
    if (ioctl(fd, TUN_SET_OFFLOAD, (unsigned long)(OFFLOAD_CHECKSUM | OFFLOAD_TCP4 | OFFLOAD_ECN)))
        fail("offload");
    return fd;
}

static void set(int fd, unsigned long what, struct ifreq interface, const char *step)
{
    if (ioctl(fd, (int)what, &interface))
        fail(step);
}

/* The namespace's own IP stack has no part in this, but for IPv6, which would greet the guest. */
static void silence(void)
{
    int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* no IPv6, or a /proc that is not to be written to: a few frames more */
    if (write(fd, "1", 1) < 0)
        errno = 0;
    close(fd);
}

static void set_up(int fd, const char *name)
{
    struct ifreq interface = interface_named(name);
    interface.ifr_mtu = LONGEST_DATAGRAM;
    set(fd, SIOCSIFMTU, interface, "MTU");
    interface.ifr_flags = IFF_UP;
    set(fd, SIOCSIFFLAGS, interface, "interface up");
}

static void add_port(int fd, const char *name)
{
    struct ifreq interface = interface_named(bridge);
    interface.ifr_ifindex = (int)if_nametoindex(name);
    set(fd, BRIDGE_ADD_PORT, interface, "port of the bridge");
    set_up(fd, name);
}

static void join(const char *tap)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    if (ioctl(fd, BRIDGE_ADD, bridge))
        fail("bridge");
    add_port(fd, tap);
    add_port(fd, filter);
    set_up(fd, bridge);
    close(fd);
}

/* Send the queue, and the statistics of the VMM's TAP with its name. */
static void hand_over(int through, int queue, const char *name)
{
    int fds[2] = {queue, open("/proc/self/net/dev", O_RDONLY | O_CLOEXEC)};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof fds)];
    } control = {0};
    struct iovec content = {(void *)name, strlen(name)};
    struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
    if (fds[1] < 0)
        fail("/proc/self/net/dev");
    message.msg_control = &control;
    message.msg_controllen = sizeof control.room;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(&control.header), fds, sizeof fds);
    if (sendmsg(through, &message, MSG_NOSIGNAL) < 0)
        fail("hand the queue over");
    close(fds[0]);
    close(fds[1]);
}

static int descriptor(const char *text)
{
    char *after;
    errno = 0;
    long number = strtol(text, &after, 10);
    if (!*text || *after || errno || number < 0 || number > 1 << 20) {
        fprintf(stderr, "banger-tap: %s: not a descriptor\n", text);
        exit(2);
    }
    return (int)number;
}

int main(int count, char **words)
{
    if (count < 4) {
        fprintf(stderr, "usage: banger-tap FD|- NAME COMMAND...\n");
        return 2;
    }
    bool is_trial = strcmp(words[1], "-") == 0;
    int through = is_trial ? -1 : descriptor(words[1]);
    enter_namespaces();
    silence();
    make_tap_to_come(words[2]);
    int queue = make_filters_tap();
    join(words[2]);
    if (!is_trial)
        hand_over(through, queue, words[2]);
    execvp(words[3], words + 3);
    fail(words[3]);
}
