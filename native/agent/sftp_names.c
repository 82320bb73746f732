/* Requests that change or resolve names. */
#include "sftp_session.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int sftp_remove(struct sftp *sftp, const struct sftp_request *request)
{
    (void)sftp;
    return unlink(request->path);
}

int sftp_mkdir(struct sftp *sftp, const struct sftp_request *request)
{
    (void)sftp;
    const struct sftp_attributes *wanted = &request->attributes;
    return mkdir(request->path, wanted->flags & SFTP_HAS_MODE ? wanted->mode & 07777 : 0777);
}

int sftp_rmdir(struct sftp *sftp, const struct sftp_request *request)
{
    (void)sftp;
    return rmdir(request->path);
}

/* Replaces nothing: the file systems that cannot promise that are looked at before. */
int sftp_rename(struct sftp *sftp, const struct sftp_request *request)
{
    (void)sftp;
    const unsigned no_replace = 1;
    struct stat found;
    if (syscall(SYS_renameat2, AT_FDCWD, request->path, AT_FDCWD, request->second, no_replace) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (lstat(request->second, &found) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(request->path, request->second);
}

int sftp_posix_rename(struct sftp *sftp, const struct sftp_request *request)
{
    (void)sftp;
    return rename(request->path, request->second);
}

int sftp_hardlink(struct sftp *sftp, const struct sftp_request *request)
{
    (void)sftp;
    return link(request->path, request->second);
}

/* The draft names the link first; OpenSSH's programs, and so all others, the target. */
int sftp_symlink(struct sftp *sftp, const struct sftp_request *request)
{
    (void)sftp;
    return symlink(request->path, request->second);
}

static int answer_name(struct sftp *sftp, uint32_t id, const char *name)
{
    struct sftp_writer *out = &sftp->out;
    const struct sftp_attributes none = {0};
    size_t begin = sftp_begin(out, SFTP_NAME, id);
    sftp_put_u32(out, 1);
    sftp_put_text(out, name);
    sftp_put_text(out, name);
    sftp_put_attributes(out, &none);
    sftp_end(out, begin);
    return SFTP_ANSWERED;
}

int sftp_readlink(struct sftp *sftp, const struct sftp_request *request)
{
    char target[PATH_MAX];
    ssize_t n = readlink(request->path, target, sizeof target - 1);
    if (n < 0)
        return -1;
    target[n] = 0;
    return answer_name(sftp, request->id, target);
}

static int answer_resolved(struct sftp *sftp, uint32_t id, const char *path)
{
    char resolved[PATH_MAX];
    return sftp_resolve(path, resolved) ? -1 : answer_name(sftp, id, resolved);
}

int sftp_realpath(struct sftp *sftp, const struct sftp_request *request)
{
    return answer_resolved(sftp, request->id, request->path);
}

/* Return the home that `~` or `~name` means, and where the path goes on; NULL: there is no such
 * user. */
static const char *find_home(const struct sftp *sftp, const char *path, const char **rest)
{
    char name[256];
    size_t size = strcspn(path + 1, "/");
    *rest = path + 1 + size;
    if (size == 0)
        return sftp->user.home;
    snprintf(name, sizeof name, "%.*s", (int)size, path + 1);
    const struct passwd *entry = size < sizeof name ? getpwnam(name) : NULL;
    return entry ? entry->pw_dir : NULL;
}

int sftp_expand_path(struct sftp *sftp, const struct sftp_request *request)
{
    char path[PATH_MAX];
    const char *rest;
    if (*request->path != '~')
        return answer_resolved(sftp, request->id, request->path);
    const char *home = find_home(sftp, request->path, &rest);
    if (!home)
        return sftp_answer_status(sftp, request->id, SFTP_NO_SUCH_FILE, "No such user");
    if ((size_t)snprintf(path, sizeof path, "%s%s", home, rest) >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return answer_resolved(sftp, request->id, path);
}
