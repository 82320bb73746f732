/* One SFTP session, and what serves each of its requests. */
#ifndef BANGER_SFTP_SESSION_H
#define BANGER_SFTP_SESSION_H

#include "sftp_wire.h"
#include "user.h"

#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

struct sftp_handle {
    int fd;         /* -1: this handle is not open */
    DIR *directory; /* NULL: a file */
};

struct sftp {
    struct user user;
    struct sftp_handle handles[SFTP_HANDLES];
    struct sftp_writer out;
    size_t have; /* bytes of requests that have come and are not answered yet */
    bool greeted;
};

/* Serve one request. Returns 0 for the status OK, -1 for the status that errno stands for, or
 * SFTP_ANSWERED if the reply is written. */
enum { SFTP_ANSWERED = 1 };
typedef int sftp_server(struct sftp *sftp, const struct sftp_request *request);

/* sftp_files.c: open files */
sftp_server sftp_open, sftp_close, sftp_read, sftp_write, sftp_fstat, sftp_fsetstat, sftp_fsync,
    sftp_fstatvfs;
int sftp_claim_handle(struct sftp *sftp, const struct sftp_request *request, int fd,
                      DIR *directory);
struct sftp_handle *sftp_find_handle(struct sftp *sftp, const struct sftp_request *request);

/* sftp_directories.c */
sftp_server sftp_opendir, sftp_readdir;

/* sftp_names.c: names in directories */
sftp_server sftp_remove, sftp_mkdir, sftp_rmdir, sftp_rename, sftp_posix_rename, sftp_hardlink,
    sftp_symlink, sftp_readlink, sftp_realpath, sftp_expand_path;

/* sftp_attributes.c */
sftp_server sftp_stat, sftp_lstat, sftp_setstat, sftp_lsetstat, sftp_statvfs;
int sftp_apply(int fd, const char *path, bool follow, const struct sftp_attributes *wanted);
int sftp_answer_attributes(struct sftp *sftp, uint32_t id, const struct stat *found);
int sftp_answer_volume(struct sftp *sftp, uint32_t id, const struct statvfs *found);
void sftp_describe(const struct stat *found, struct sftp_attributes *attributes);

/* sftp_path.c: resolve a path as realpath(3), but allow the last name to be missing */
int sftp_resolve(const char *text, char resolved[PATH_MAX]);

/* sftp.c */
int sftp_answer_status(struct sftp *sftp, uint32_t id, enum sftp_code code, const char *message);

#endif
