/* Directories: entries in batches, each with attributes and the line that `ls -l` would show. */
#include "sftp_session.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 100, ID_SIZE = 33, DATE_SIZE = 32, HALF_A_YEAR_S = 365 * 24 * 3600 / 2 };

int sftp_opendir(struct sftp *sftp, const struct sftp_request *request)
{
    DIR *directory = opendir(request->path);
    return directory ? sftp_claim_handle(sftp, request, dirfd(directory), directory) : -1;
}

/* --- the line ----------------------------------------------------------------- */

static void format_mode(mode_t mode, char text[11])
{
    static const char kinds[16] = {[S_IFDIR >> 12] = 'd', [S_IFLNK >> 12] = 'l',
                                   [S_IFIFO >> 12] = 'p', [S_IFSOCK >> 12] = 's',
                                   [S_IFCHR >> 12] = 'c', [S_IFBLK >> 12] = 'b',
                                   [S_IFREG >> 12] = '-'};
    char kind = kinds[(mode & S_IFMT) >> 12];
    snprintf(text, 11, "%crwxrwxrwx", kind ? kind : '?');
    for (int bit = 0; bit < 9; bit++)
        if (!(mode & (0400u >> bit)))
            text[1 + bit] = '-';
    if (mode & S_ISUID)
        text[3] = mode & S_IXUSR ? 's' : 'S';
    if (mode & S_ISGID)
        text[6] = mode & S_IXGRP ? 's' : 'S';
    if (mode & S_ISVTX)
        text[9] = mode & S_IXOTH ? 't' : 'T';
}

/* Most entries of a directory have the same owner: keep the names that were found last. */
static const char *name_user(uid_t uid)
{
    static uid_t last;
    static char name[ID_SIZE];
    if (*name && uid == last)
        return name;
    const struct passwd *entry = getpwuid(uid);
    snprintf(name, sizeof name, "%u", uid);
    if (entry)
        snprintf(name, sizeof name, "%s", entry->pw_name);
    last = uid;
    return name;
}

static const char *name_group(gid_t gid)
{
    static gid_t last;
    static char name[ID_SIZE];
    if (*name && gid == last)
        return name;
    const struct group *entry = getgrgid(gid);
    snprintf(name, sizeof name, "%u", gid);
    if (entry)
        snprintf(name, sizeof name, "%s", entry->gr_name);
    last = gid;
    return name;
}

static void format_date(time_t at, char text[DATE_SIZE])
{
    struct tm parts;
    bool is_recent = time(NULL) - at < HALF_A_YEAR_S;
    if (!localtime_r(&at, &parts) ||
        !strftime(text, DATE_SIZE, is_recent ? "%b %e %H:%M" : "%b %e  %Y", &parts))
        strcpy(text, "-");
}

static void format_line(const char *name, const struct stat *found, char *text, size_t size)
{
    char mode[11], date[DATE_SIZE];
    format_mode(found->st_mode, mode);
    format_date(found->st_mtime, date);
    snprintf(text, size, "%s  %3lu %-8s %-8s %8llu %s %s", mode, (unsigned long)found->st_nlink,
             name_user(found->st_uid), name_group(found->st_gid),
             (unsigned long long)found->st_size, date, name);
}

/* --- batches ------------------------------------------------------------------ */

static void put_entry(struct sftp_writer *out, const char *name, const struct stat *found)
{
    char line[2 * NAME_MAX];
    struct sftp_attributes attributes;
    format_line(name, found, line, sizeof line);
    sftp_describe(found, &attributes);
    sftp_put_text(out, name);
    sftp_put_text(out, line);
    sftp_put_attributes(out, &attributes);
}

/* Write the next entries; return how many. What is gone when its turn comes is left out. */
static uint32_t put_batch(struct sftp_writer *out, DIR *directory)
{
    uint32_t count = 0;
    struct stat found;
    const struct dirent *entry;
    while (count < BATCH && (errno = 0, entry = readdir(directory)))
        if (fstatat(dirfd(directory), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) == 0) {
            put_entry(out, entry->d_name, &found);
            count++;
        }
    return count;
}

int sftp_readdir(struct sftp *sftp, const struct sftp_request *request)
{
    struct sftp_writer *out = &sftp->out;
    const struct sftp_handle *handle = sftp_find_handle(sftp, request);
    if (!handle || !handle->directory)
        return sftp_answer_status(sftp, request->id, SFTP_FAILURE,
                                  "The handle is not of an open directory");
    size_t begin = sftp_begin(out, SFTP_NAME, request->id), at = out->size;
    sftp_put_u32(out, 0);
    uint32_t count = put_batch(out, handle->directory);
    if (!count) {
        out->size = begin;
        return errno ? -1 : sftp_answer_status(sftp, request->id, SFTP_EOF, NULL);
    }
    sftp_set_u32(out->at + at, count);
    sftp_end(out, begin);
    return SFTP_ANSWERED;
}
