/* Attributes of files and of file systems: found and set. */
#include "sftp_session.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* --- found -------------------------------------------------------------------- */

void sftp_describe(const struct stat *found, struct sftp_attributes *attributes)
{
    *attributes = (struct sftp_attributes){
        .flags = SFTP_HAS_SIZE | SFTP_HAS_OWNER | SFTP_HAS_MODE | SFTP_HAS_TIMES,
        .size = (uint64_t)found->st_size,
        .uid = found->st_uid,
        .gid = found->st_gid,
        .mode = found->st_mode,
        .atime = (uint32_t)found->st_atime,
        .mtime = (uint32_t)found->st_mtime,
    };
}

int sftp_answer_attributes(struct sftp *sftp, uint32_t id, const struct stat *found)
{
    struct sftp_attributes attributes;
    sftp_describe(found, &attributes);
    size_t begin = sftp_begin(&sftp->out, SFTP_ATTRS, id);
    sftp_put_attributes(&sftp->out, &attributes);
    sftp_end(&sftp->out, begin);
    return SFTP_ANSWERED;
}

int sftp_stat(struct sftp *sftp, const struct sftp_request *request)
{
    struct stat found;
    return stat(request->path, &found) ? -1 : sftp_answer_attributes(sftp, request->id, &found);
}

int sftp_lstat(struct sftp *sftp, const struct sftp_request *request)
{
    struct stat found;
    return lstat(request->path, &found) ? -1 : sftp_answer_attributes(sftp, request->id, &found);
}

/* The flags are those of the extension, which are those of Linux: 1 read-only, 2 nosuid. */
int sftp_answer_volume(struct sftp *sftp, uint32_t id, const struct statvfs *found)
{
    const uint64_t values[] = {
        found->f_bsize, found->f_frsize, found->f_blocks, found->f_bfree,
        found->f_bavail, found->f_files, found->f_ffree, found->f_favail,
        found->f_fsid, found->f_flag & (ST_RDONLY | ST_NOSUID), found->f_namemax,
    };
    size_t begin = sftp_begin(&sftp->out, SFTP_EXTENDED_REPLY, id);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        sftp_put_u64(&sftp->out, values[i]);
    sftp_end(&sftp->out, begin);
    return SFTP_ANSWERED;
}

int sftp_statvfs(struct sftp *sftp, const struct sftp_request *request)
{
    struct statvfs found;
    return statvfs(request->path, &found) ? -1 : sftp_answer_volume(sftp, request->id, &found);
}

/* --- set ---------------------------------------------------------------------- */

/* What attributes are set of: an open file, or a path. */
struct target {
    int fd;
    const char *path; /* NULL: the descriptor */
    int flags;        /* AT_SYMLINK_NOFOLLOW or 0 */
};

static int set_size(const struct target *target, uint64_t size)
{
    return target->path ? truncate(target->path, (off_t)size) : ftruncate(target->fd, (off_t)size);
}

static int set_owner(const struct target *target, const struct sftp_attributes *wanted)
{
    return target->path
               ? fchownat(AT_FDCWD, target->path, wanted->uid, wanted->gid, target->flags)
               : fchown(target->fd, wanted->uid, wanted->gid);
}

static int set_mode(const struct target *target, mode_t mode)
{
    return target->path ? fchmodat(AT_FDCWD, target->path, mode, target->flags)
                        : fchmod(target->fd, mode);
}

static int set_times(const struct target *target, const struct sftp_attributes *wanted)
{
    const struct timespec times[] = {{.tv_sec = wanted->atime}, {.tv_sec = wanted->mtime}};
    return target->path ? utimensat(AT_FDCWD, target->path, times, target->flags)
                        : futimens(target->fd, times);
}

/* Set all that is wanted, also after a failure. The owner before the mode, since a new owner takes
 * the setuid bit away; the times after the size, which changes them. */
int sftp_apply(int fd, const char *path, bool follow, const struct sftp_attributes *wanted)
{
    const struct target target = {fd, path, follow ? 0 : AT_SYMLINK_NOFOLLOW};
    int error = 0;
    if ((wanted->flags & SFTP_HAS_SIZE) && set_size(&target, wanted->size))
        error = errno;
    if ((wanted->flags & SFTP_HAS_OWNER) && set_owner(&target, wanted))
        error = errno;
    if ((wanted->flags & SFTP_HAS_MODE) && set_mode(&target, wanted->mode & 07777))
        error = errno;
    if ((wanted->flags & SFTP_HAS_TIMES) && set_times(&target, wanted))
        error = errno;
    errno = error;
    return error ? -1 : 0;
}

int sftp_setstat(struct sftp *sftp, const struct sftp_request *request)
{
    (void)sftp;
    return sftp_apply(-1, request->path, true, &request->attributes);
}

int sftp_lsetstat(struct sftp *sftp, const struct sftp_request *request)
{
    if (request->attributes.flags & SFTP_HAS_SIZE)
        return sftp_answer_status(sftp, request->id, SFTP_BAD_MESSAGE, "A link has no size to set");
    return sftp_apply(-1, request->path, false, &request->attributes);
}
