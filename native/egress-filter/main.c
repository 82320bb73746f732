/* The program that stands between a guest's network card and the back end of its network, and drops
 * what may not pass.
 *
 * The back end, slirp4netns or passt, opens a socket of the host for each flow of the guest, to the
 * very address that the guest's packet names. Either can keep the gateway's address from meaning the
 * host, but a guest that writes 127.0.0.1 into its packets still reaches the host's loopback (seen
 * with passt 2023-03-09, and slirp is the same): every local service of the user and the ports that other VMs forward. So
 * frames pass here first (filter.h says which; hazard E4).
 *
 * Run as `banger-egress-filter socket|tap GUEST-FD WORLD-FD CONTROL-FD LABEL [NETWORK6]`, one for each
 * VM, from before the VMM starts until either side closes. With `socket` frames come in a stream (streams.c);
 * with `tap` the guest's descriptor brings a TAP's queue (taps.c). CONTROL-FD is the listening
 * socket that the policy comes by. LABEL names the VM in the process list. NETWORK6 is there where
 * the network has IPv6: the first 64 bits of its addresses, as 16 hexadecimal digits.
 *
 * Owns its sockets; opens nothing; its last words go to stderr. If it dies, the back end ends and
 * the VM runs on unconnected. */
#include "ends.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static uint64_t network(const char *text)
{
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16) {
        say("%s: not a network", text);
        _exit(2);
    }
    return strtoull(text, NULL, 16);
}

int main(int count, char **words)
{
    static struct border border;
    bool is_tap = count > 1 && strcmp(words[1], "tap") == 0;
    if (count < 6 || count > 7 || (!is_tap && strcmp(words[1], "socket") != 0)) {
        say("usage: banger-egress-filter socket|tap GUEST-FD WORLD-FD CONTROL-FD LABEL "
            "[NETWORK6]");
        return 2;
    }
    int guest = descriptor(words[2]), world = descriptor(words[3]);
    if (!border_open(&border, descriptor(words[4]), count > 6 ? network(words[6]) : 0))
        fail();
    if (is_tap)
        pass_tap(&border, guest, world);
    pass_streams(&border, guest, world);
}
