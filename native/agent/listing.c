/* LIST and READ: write files' records and contents to standard output. Runs as a worker (worker.c),
 * so it may block. Programs run meanwhile: a file that is gone when its turn comes is left out.
 * Follows no link below PATH. */
#include "files.h"
#include "frame.h"
#include "jobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD = 48, BUFFER = 65536 };

struct listing {
    struct failure *failure;
    int base;
    const char *name; /* the current NAME, relative to PATH; may be empty */
    uint64_t entries, bytes;
};

typedef int step(struct listing *listing);

static int broken(const struct listing *listing, const char *what)
{
    return fail(listing->failure, "io", errno, "%s %.160s", what, listing->name);
}

/* Tell whether the entry was removed, or has become another type of file, since it was seen. */
static bool is_gone(void)
{
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EINVAL;
}

static int put(const struct listing *listing, const void *bytes, size_t size)
{
    return fwrite(bytes, 1, size, stdout) == size ? 0 : broken(listing, "send");
}

static uint64_t in_ns(const struct timespec *time)
{
    return (uint64_t)(time->tv_sec * 1000000000LL + time->tv_nsec);
}

/* `entry` is a name in the current directory; NULL means NAME itself. */
static int put_record(struct listing *listing, const char *entry, const struct stat *found)
{
    uint8_t record[RECORD];
    size_t above = strlen(listing->name), own = entry ? strlen(entry) : 0;
    bool slash = above && entry;
    put_u32(record, (uint32_t)(above + slash + own));
    put_u32(record + 4, found->st_mode);
    put_u32(record + 8, found->st_uid);
    put_u32(record + 12, found->st_gid);
    put_u64(record + 16, (uint64_t)found->st_size);
    put_u64(record + 24, found->st_ino);
    put_u64(record + 32, in_ns(&found->st_mtim));
    put_u64(record + 40, in_ns(&found->st_ctim));
    listing->entries++;
    if (put(listing, record, RECORD) || put(listing, listing->name, above) ||
        put(listing, "/", slash) || put(listing, entry ? entry : "", own))
        return -1;
    return 0;
}

/* --- LIST --------------------------------------------------------------------- */

static int list_entries(struct listing *listing, DIR *directory)
{
    struct stat found;
    struct dirent *entry;
    while (errno = 0, entry = readdir(directory)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (fstatat(dirfd(directory), entry->d_name, &found, AT_SYMLINK_NOFOLLOW)) {
            if (is_gone())
                continue;
            return broken(listing, "look into");
        }
        if (put_record(listing, entry->d_name, &found))
            return -1;
    }
    return errno ? broken(listing, "read") : 0;
}

static int list_directory(struct listing *listing)
{
    const char *name = *listing->name ? listing->name : ".";
    int fd = open_beneath(listing->base, name, O_RDONLY | O_DIRECTORY);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        if (fd < 0 && is_gone())
            return 0;
        if (fd >= 0)
            close(fd);
        return broken(listing, "open");
    }
    int failed = list_entries(listing, directory);
    closedir(directory);
    return failed;
}

/* --- READ --------------------------------------------------------------------- */

/* Write exactly `size` bytes: cut a file that grows, pad a file that shrinks with zeros. */
static int put_content(struct listing *listing, int fd, uint64_t size)
{
    static uint8_t buffer[BUFFER];
    bool ended = false;
    for (uint64_t left = size; left;) {
        size_t n = left < BUFFER ? (size_t)left : BUFFER;
        ssize_t got = ended ? 0 : read(fd, buffer, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return broken(listing, "read");
        if (got == 0) {
            memset(buffer, 0, n);
            got = (ssize_t)n;
            ended = true;
        }
        if (put(listing, buffer, (size_t)got))
            return -1;
        left -= (uint64_t)got;
    }
    listing->bytes += size;
    return 0;
}

static int read_regular(struct listing *listing)
{
    struct stat found;
    int fd = open_beneath(listing->base, listing->name, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return is_gone() ? 0 : broken(listing, "open");
    int failed = fstat(fd, &found) ? broken(listing, "look at") : 0;
    if (!failed && S_ISREG(found.st_mode))
        failed = put_record(listing, NULL, &found) ||
                 put_content(listing, fd, (uint64_t)found.st_size);
    close(fd);
    return failed ? -1 : 0;
}

static int read_link(struct listing *listing, int fd, struct stat *found)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(fd, "", target, sizeof target);
    if (n < 0)
        return is_gone() ? 0 : broken(listing, "read the link");
    found->st_size = n;
    listing->bytes += (uint64_t)n;
    return put_record(listing, NULL, found) || put(listing, target, (size_t)n) ? -1 : 0;
}

static int read_name(struct listing *listing)
{
    struct stat found;
    int fd = open_beneath(listing->base, listing->name, O_PATH | O_NOFOLLOW);
    if (fd < 0)
        return is_gone() ? 0 : broken(listing, "open");
    int failed = fstat(fd, &found) ? broken(listing, "look at") : 0;
    if (!failed && S_ISREG(found.st_mode))
        failed = read_regular(listing);
    else if (!failed && S_ISLNK(found.st_mode))
        failed = read_link(listing, fd, &found);
    close(fd);
    return failed;
}

/* --- the requests ------------------------------------------------------------- */

static int for_each_name(const struct request *request, struct writer *result,
                         struct failure *failure, step *take)
{
    static char buffer[BUFFER];
    struct listing listing = {failure, -1, "", 0, 0};
    listing.base = open(request->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (listing.base < 0)
        return fail(failure, errno == ENOENT || errno == ENOTDIR ? "not-found" : "io", errno,
                    "open %.128s", request->path);
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    int failed = 0;
    for (size_t i = 0; i < request->names.count && !failed; i++) {
        listing.name = request->names.items[i];
        failed = take(&listing);
    }
    if (!failed && fflush(stdout))
        failed = broken(&listing, "send");
    close(listing.base);
    put_number(result, TAG_ENTRIES, listing.entries);
    put_number(result, TAG_BYTES, listing.bytes);
    return failed;
}

int list_files(int disk, const struct request *request, struct writer *result,
               struct failure *failure)
{
    (void)disk;
    return for_each_name(request, result, failure, list_directory);
}

int read_files(int disk, const struct request *request, struct writer *result,
               struct failure *failure)
{
    (void)disk;
    return for_each_name(request, result, failure, read_name);
}
