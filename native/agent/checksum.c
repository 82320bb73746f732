/* CHECKSUM: whether the part of a file that one side has is how the other's begins. Runs as a
 * worker (worker.c), so it may block. */
#include "blake2b.h"
#include "jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 65536 };

static int add_part(struct blake2b *hash, int fd, uint64_t size, struct failure *failure)
{
    uint8_t buffer[BUFFER];
    while (size) {
        ssize_t n = read(fd, buffer, size < BUFFER ? (size_t)size : BUFFER);
        if (n < 0)
            return fail(failure, "io", errno, "read the file");
        if (n == 0)
            return fail(failure, "too-short", 0, "the file is shorter");
        blake2b_add(hash, buffer, (size_t)n);
        size -= (uint64_t)n;
    }
    return 0;
}

int checksum(int disk, const struct request *request, struct writer *result,
             struct failure *failure)
{
    (void)disk;
    struct blake2b hash;
    struct stat found;
    uint8_t digest[BLAKE2B_DIGEST];
    int fd = open(request->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return fail(failure, errno == ENOENT ? "not-found" : "io", errno, "open the file");
    if (fstat(fd, &found) || !S_ISREG(found.st_mode))
        return fail(failure, "bad-request", 0, "PATH is no regular file");
    blake2b_start(&hash);
    if (add_part(&hash, fd, request->size, failure))
        return -1;
    blake2b_end(&hash, digest);
    put_bytes(result, TAG_DIGEST, digest, sizeof digest);
    return 0;
}
