#include "stat.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

int stat_path(const char *path, struct writer *writer, struct failure *failure)
{
    struct stat found;
    char target[PATH_MAX];
    if (lstat(path, &found))
        return fail(failure, errno == ENOENT || errno == ENOTDIR ? "not-found" : "io", errno,
                    "look at %.128s", path);
    put_number(writer, TAG_MODE, found.st_mode);
    put_number(writer, TAG_UID, found.st_uid);
    put_number(writer, TAG_GID, found.st_gid);
    put_number(writer, TAG_SIZE, (uint64_t)found.st_size);
    put_number(writer, TAG_MTIME_NS,
               (uint64_t)(found.st_mtim.tv_sec * 1000000000LL + found.st_mtim.tv_nsec));
    if (!S_ISLNK(found.st_mode))
        return 0;
    ssize_t n = readlink(path, target, sizeof target);
    if (n < 0)
        return fail(failure, "io", errno, "read the link %.128s", path);
    put_bytes(writer, TAG_TARGET, target, (size_t)n);
    return 0;
}
