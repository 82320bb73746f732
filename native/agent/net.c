/* The machine's one network interface, by ioctl. */
#include "net.h"

#include "net6.h"
#include "say.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INDEX_MAX = 64 }; /* the machine has one interface: its index is low */

static int set_flags(int fd, struct ifreq *interface, short on, short off)
{
    if (ioctl(fd, SIOCGIFFLAGS, interface))
        return -1;
    interface->ifr_flags = (short)((interface->ifr_flags | on) & ~off);
    return ioctl(fd, SIOCSIFFLAGS, interface);
}

void loopback_up(void)
{
    struct ifreq loopback = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || set_flags(fd, &loopback, IFF_UP, 0))
        say("loopback: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* The Ethernet interface with the lowest index. A list of all by netlink, as of if_nameindex(), is
 * code that an emulated clone runs, and translates, for nothing else. */
static int find_interface(int fd, struct ifreq *found)
{
    for (int index = 1; index <= INDEX_MAX; index++) {
        memset(found, 0, sizeof *found);
        found->ifr_ifindex = index;
        if (ioctl(fd, SIOCGIFNAME, found) == 0 && ioctl(fd, SIOCGIFHWADDR, found) == 0 &&
            found->ifr_hwaddr.sa_family == ARPHRD_ETHER)
            return 0;
    }
    errno = ENODEV;
    return -1;
}

static int change_mac(int fd, struct ifreq *interface, const uint8_t *mac)
{
    memset(&interface->ifr_hwaddr, 0, sizeof interface->ifr_hwaddr);
    interface->ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(interface->ifr_hwaddr.sa_data, mac, 6);
    return ioctl(fd, SIOCSIFHWADDR, interface);
}

/* virtio-net accepts a new MAC address while it is up, and keeps its IP addresses. */
static int set_mac(int fd, struct ifreq *interface, const uint8_t *mac)
{
    if (change_mac(fd, interface, mac) == 0)
        return 0;
    return set_flags(fd, interface, 0, IFF_UP) || change_mac(fd, interface, mac) ? -1 : 0;
}

static struct sockaddr ip(uint32_t address)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
    } value = {.in = {.sin_family = AF_INET, .sin_addr = {address}}};
    return value.any;
}

static uint32_t ip_of(const struct ifreq *interface)
{
    struct sockaddr_in address;
    memcpy(&address, &interface->ifr_addr, sizeof address);
    return address.sin_addr.s_addr;
}

/* A clone has its template's address: setting it again would cost a fifth of the clone's time. */
static int has_address(int fd, struct ifreq *interface, uint32_t address, uint32_t mask)
{
    return ioctl(fd, SIOCGIFFLAGS, interface) == 0 && interface->ifr_flags & IFF_UP &&
           ioctl(fd, SIOCGIFADDR, interface) == 0 && ip_of(interface) == address &&
           ioctl(fd, SIOCGIFNETMASK, interface) == 0 && ip_of(interface) == mask;
}

static int set_address(int fd, struct ifreq *interface, uint32_t address, uint64_t prefix)
{
    uint32_t mask = prefix ? htonl(~0u << (32 - prefix)) : 0;
    if (has_address(fd, interface, address, mask))
        return 0;
    interface->ifr_addr = ip(address);
    if (ioctl(fd, SIOCSIFADDR, interface))
        return -1;
    interface->ifr_netmask = ip(mask);
    if (ioctl(fd, SIOCSIFNETMASK, interface))
        return -1;
    interface->ifr_broadaddr = ip(address | ~mask);
    if (ioctl(fd, SIOCSIFBRDADDR, interface))
        return -1;
    return set_flags(fd, interface, IFF_UP, 0);
}

static int set_gateway(int fd, struct ifreq *interface, uint32_t gateway)
{
    struct rtentry route = {
        .rt_dst = ip(0), .rt_genmask = ip(0), .rt_flags = RTF_UP, .rt_dev = interface->ifr_name};
    for (int i = 0; i < 16 && ioctl(fd, SIOCDELRT, &route) == 0; i++)
        ; /* the default routes of the previous identity */
    if (!gateway)
        return 0;
    route.rt_gateway = ip(gateway);
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    return ioctl(fd, SIOCADDRT, &route);
}

static int set_address6(int fd, struct ifreq *interface, const struct in6_addr *address)
{
    if (address && ioctl(fd, SIOCGIFINDEX, interface))
        return -1;
    return replace_address6(interface->ifr_ifindex, address);
}

int configure_interface(const struct request *request, struct failure *failure)
{
    uint32_t address, gateway = 0;
    struct in6_addr address6;
    struct ifreq interface;
    if (inet_pton(AF_INET, request->address, &address) != 1 ||
        (request->gateway && inet_pton(AF_INET, request->gateway, &gateway) != 1))
        return fail(failure, "bad-request", 0, "ADDRESS or GATEWAY is no IPv4 address");
    if (request->address6 && inet_pton(AF_INET6, request->address6, &address6) != 1)
        return fail(failure, "bad-request", 0, "ADDRESS6 is no IPv6 address");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const char *step = "find the network interface";
    int failed = fd < 0 || find_interface(fd, &interface);
    if (!failed && request->present[TAG_MAC]) {
        step = "set the MAC";
        failed = set_mac(fd, &interface, request->mac.at);
    }
    if (!failed && request->address6)
        prepare_ipv6(interface.ifr_name);
    if (!failed) {
        step = "set the address";
        failed = set_address(fd, &interface, address, request->prefix);
    }
    if (!failed) {
        step = "set the default route";
        failed = set_gateway(fd, &interface, gateway);
    }
    if (!failed) {
        step = "set the IPv6 address";
        failed = set_address6(fd, &interface, request->address6 ? &address6 : NULL);
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    return failed ? fail(failure, "io", error, "%s", step) : 0;
}
