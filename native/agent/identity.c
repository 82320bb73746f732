/* IDENTITY: give this machine a new identity. Also the last part of BOOT. */
#include "identity.h"

#include "files.h"
#include "net.h"
#include "say.h"

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
    /* The reseed uses the new bytes at once: two clones must not share a random number. */
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

/* A file's owner and mode. */
struct look {
    uid_t uid;
    gid_t gid;
    mode_t mode;
};

static struct look wanted(const struct request *file)
{
    return (struct look){
        file->present[TAG_UID] ? (uid_t)file->uid : geteuid(),
        file->present[TAG_GID] ? (gid_t)file->gid : getegid(),
        file->present[TAG_MODE] ? (mode_t)file->mode & 07777 : 0644,
    };
}

/* Overwrite a file that already has the right owner and mode, as in a clone. Under emulation the
 * first run of each kernel function is slow, and this needs few: it saves a sixth of a clone's
 * time.
 * Returns 1 if there is no such file. */
static int overwrite(const struct request *file, struct look look)
{
    struct stat is;
    int fd = open(file->path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return 1;
    int outcome = 1;
    if (fstat(fd, &is) == 0 && S_ISREG(is.st_mode) && is.st_nlink == 1 && is.st_uid == look.uid &&
        is.st_gid == look.gid && (is.st_mode & 07777) == look.mode)
        outcome = write_all(fd, file->content.at, file->content.size) ||
                          (is.st_size > (off_t)file->content.size &&
                           ftruncate(fd, (off_t)file->content.size))
                      ? -1
                      : 0;
    int error = errno;
    close(fd);
    errno = error;
    return outcome;
}

static int fill_file(int fd, const struct request *file, struct look look)
{
    /* Not flushed: every boot applies the identity again, and a flush would slow a clone down. */
    return write_all(fd, file->content.at, file->content.size) ||
                   fchown(fd, look.uid, look.gid) || fchmod(fd, look.mode)
               ? -1
               : 0;
}

static int replace(const struct request *file, struct look look)
{
    char aside[PATH_MAX];
    if ((size_t)snprintf(aside, sizeof aside, "%s.banger-new", file->path) >= sizeof aside) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (make_parents(file->path))
        return -1;
    unlink(aside); /* left by a crash */
    int fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int failed = fd < 0 || fill_file(fd, file, look) || rename(aside, file->path);
    int error = errno;
    if (fd >= 0) {
        close(fd);
        if (failed)
            unlink(aside);
    }
    errno = error;
    return failed ? -1 : 0;
}

/* A root without a place for the file, as when /etc is a file, boots without it. */
static int write_file(const struct request *file, struct failure *failure)
{
    struct look look = wanted(file);
    int outcome = overwrite(file, look);
    if (outcome > 0)
        outcome = replace(file, look);
    if (outcome && is_occupied(errno)) {
        say("write %s: %s", file->path, strerror(errno));
        return 0;
    }
    return outcome ? fail(failure, "io", errno, "write %.128s", file->path) : 0;
}

/* Apply a checked identity, in the protocol's order. */
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
