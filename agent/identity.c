/* IDENTITY: make this machine another one. Also the last part of BOOT. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ENTROPY_MIN = 32, ENTROPY_MAX = 512, MAC_SIZE = 6 };

/* linux/random.h */
#define RNDADDENTROPY _IOW('R', 3, int[2])
#define RNDRESEEDCRNG _IO('R', 7)

struct pool {
    int bits, size;
    uint8_t bytes[ENTROPY_MAX];
};

int identity_check(const struct request *request, struct failure *failure)
{
    const struct request *interface = request->interface;
    if (request->present[TAG_ENTROPY] &&
        (request->entropy.size < ENTROPY_MIN || request->entropy.size > ENTROPY_MAX))
        return fail(failure, "bad-request", 0, "ENTROPY has %zu bytes", request->entropy.size);
    for (size_t i = 0; i < request->file_count; i++)
        if (!request->files[i].path || *request->files[i].path != '/')
            return fail(failure, "bad-request", 0, "FILE has no absolute PATH");
    if (interface && interface->present[TAG_MAC] && interface->mac.size != MAC_SIZE)
        return fail(failure, "bad-request", 0, "MAC has %zu bytes", interface->mac.size);
    if (interface && (interface->prefix > 32 || !interface->address))
        return fail(failure, "bad-request", 0, "INTERFACE has no ADDRESS or a wrong PREFIX");
    return 0;
}

static int add_entropy(const struct blob *entropy, struct failure *failure)
{
    struct pool pool = {(int)entropy->size * 8, (int)entropy->size, {0}};
    memcpy(pool.bytes, entropy->at, entropy->size);
    int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    /* The reseed makes the new bytes count at once: two clones must not share a number. */
    int failed = fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) || ioctl(fd, RNDRESEEDCRNG);
    int error = errno;
    if (fd >= 0)
        close(fd);
    return failed ? fail(failure, "io", error, "add entropy") : 0;
}

static int set_clock(int64_t ns, struct failure *failure)
{
    struct timespec time = {ns / 1000000000, ns % 1000000000};
    return clock_settime(CLOCK_REALTIME, &time) ? fail(failure, "io", errno, "set the clock") : 0;
}

static int fill_file(int fd, const struct request *file)
{
    uid_t uid = file->present[TAG_UID] ? (uid_t)file->uid : (uid_t)-1;
    gid_t gid = file->present[TAG_GID] ? (gid_t)file->gid : (gid_t)-1;
    mode_t mode = file->present[TAG_MODE] ? (mode_t)file->mode & 07777 : 0644;
    return write_all(fd, file->content.at, file->content.size) || fchown(fd, uid, gid) ||
                   fchmod(fd, mode) || fsync(fd)
               ? -1
               : 0;
}

static int write_file(const struct request *file, struct failure *failure)
{
    char aside[PATH_MAX];
    if (strlen(file->path) + 16 > sizeof aside)
        return fail(failure, "bad-request", ENAMETOOLONG, "FILE");
    snprintf(aside, sizeof aside, "%.4000s.banger-new", file->path);
    if (make_parents(file->path))
        return fail(failure, "io", errno, "make the directories of %.128s", file->path);
    unlink(aside); /* left by a crash */
    int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int failed = fd < 0 || fill_file(fd, file) || rename(aside, file->path);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (!failed)
        return 0;
    if (fd >= 0)
        unlink(aside);
    return fail(failure, "io", error, "write %.128s", file->path);
}

/* Apply a checked identity, in the order that the protocol says. */
int identity_apply(const struct request *request, struct failure *failure)
{
    if (request->present[TAG_ENTROPY] && add_entropy(&request->entropy, failure))
        return -1;
    if (request->present[TAG_CLOCK_NS] && set_clock(request->clock_ns, failure))
        return -1;
    for (size_t i = 0; i < request->file_count; i++)
        if (write_file(&request->files[i], failure))
            return -1;
    if (request->hostname && sethostname(request->hostname, strlen(request->hostname)))
        return fail(failure, "io", errno, "set the host name");
    return request->interface ? configure_interface(request->interface, failure) : 0;
}

int identity(const struct request *request, struct failure *failure)
{
    return identity_check(request, failure) || identity_apply(request, failure) ? -1 : 0;
}
