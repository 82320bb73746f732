/* By netlink, not by ioctl: so the kernel searches for no duplicates, and programs can use the
 * address at once. */
#include "net6.h"

#include "files.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* musl comes without the kernel's headers: <linux/rtnetlink.h>, <linux/if_addr.h>. */
enum { NEW_ADDRESS = 20, DELETE_ADDRESS = 21, REQUEST = 1, ACKNOWLEDGE = 4, REPLACE = 0x100 };
enum { CREATE = 0x400, NO_DUPLICATES = 2, ADDRESS = 1, PREFIX = 64 };

struct header {
    uint32_t size;
    uint16_t type, flags;
    uint32_t number, port;
};

struct change {
    struct header header;
    uint8_t family, prefix, flags, scope;
    int32_t index;
    uint16_t attribute_size, attribute;
    struct in6_addr address;
};

struct answer {
    struct header header;
    int32_t error;
};

/* The address that this agent has given, if `index` is not 0. A clone or fork has the agent's
 * memory, and so knows its origin's address. */
static struct change given;

/* Tell whether the kernel has IPv6. It is asked once: clones have the answer in memory. */
bool has_ipv6(void)
{
    static enum { UNKNOWN, YES, NO } known;
    if (known == UNKNOWN) {
        int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        known = fd < 0 ? NO : YES;
        if (fd >= 0)
            close(fd);
    }
    return known == YES;
}

static void write_setting(const char *interface, const char *name, const char *value)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/%s", interface, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write_all(fd, value, 1))
        say("%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* Before the interface is up: let it have no address but the one that it is given. */
void prepare_ipv6(const char *interface)
{
    if (given.index)
        return;
    write_setting(interface, "accept_ra", "0");
    write_setting(interface, "addr_gen_mode", "1");
}

static int apply(struct change *change, uint16_t type, uint16_t flags)
{
    struct answer answer;
    change->header = (struct header){sizeof *change, type, REQUEST | ACKNOWLEDGE | flags, 0, 0};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
    int failed = fd < 0 || send(fd, change, sizeof *change, 0) < 0 ||
                 recv(fd, &answer, sizeof answer, 0) < (ssize_t)sizeof answer;
    int error = failed ? errno : -answer.error;
    if (fd >= 0)
        close(fd);
    errno = error;
    return error ? -1 : 0;
}

/* Give an interface this address, or none, instead of the one that was given before. */
int replace_address6(int index, const struct in6_addr *address)
{
    bool is_other = given.index && (!address || memcmp(&given.address, address, sizeof *address));
    if (is_other && apply(&given, DELETE_ADDRESS, 0) && errno != EADDRNOTAVAIL && errno != ENXIO)
        return -1;
    if (is_other)
        given.index = 0;
    if (!address)
        return 0;
    given = (struct change){.family = AF_INET6,
                            .prefix = PREFIX,
                            .flags = NO_DUPLICATES,
                            .index = index,
                            .attribute_size = 4 + sizeof *address,
                            .attribute = ADDRESS,
                            .address = *address};
    /* EACCES: somebody in the guest has turned IPv6 off. */
    return apply(&given, NEW_ADDRESS, CREATE | REPLACE) && errno != EACCES ? -1 : 0;
}
