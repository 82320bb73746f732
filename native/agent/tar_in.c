/* TAR_IN: unpack a tar stream from standard input, confined to one directory. Runs as a
 * worker (worker.c), so it may block. */
#include "aside.h"
#include "files.h"
#include "jobs.h"
#include "tar_header.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { BUFFER = 65536 };

/* A directory whose mode and time are set last: writing into it changes its time, and its mode may
 * forbid writing. */
struct late {
    char *name;
    mode_t mode;
    struct timespec mtime;
};

struct unpack {
    const struct request *request;
    struct failure *failure;
    bool is_root;
    int base;
    uint8_t *buffer;
    size_t at, end;
    struct tar_header header;
    struct tar_extension local, global;
    char *local_records, *global_records, *long_name, *long_link;
    struct late *lates;
    size_t late_count;
    char parent[PATH_MAX]; /* the last directory that `walk` reached, and its descriptor */
    int parent_fd;
    uint64_t entries, bytes;
};

static int bad_archive(struct unpack *unpack, const char *what)
{
    return fail(unpack->failure, "bad-archive", 0, "%s", what);
}

static int broken(struct unpack *unpack, const char *what, const char *name)
{
    return fail(unpack->failure, "io", errno, "%s %.160s", what, name);
}

/* --- the stream --------------------------------------------------------------- */

/* Make at least one byte available; return the number available, 0 at the end. */
static size_t refill(struct unpack *unpack)
{
    if (unpack->at < unpack->end)
        return unpack->end - unpack->at;
    ssize_t n;
    do
        n = read(STDIN_FILENO, unpack->buffer, BUFFER);
    while (n < 0 && errno == EINTR);
    unpack->at = 0;
    unpack->end = n > 0 ? (size_t)n : 0;
    return unpack->end;
}

static int take(struct unpack *unpack, uint8_t *to, size_t size)
{
    while (size) {
        size_t n = refill(unpack);
        if (!n)
            return bad_archive(unpack, "the archive ends early");
        n = n < size ? n : size;
        memcpy(to, unpack->buffer + unpack->at, n);
        unpack->at += n;
        to += n;
        size -= n;
    }
    return 0;
}

/* Write `size` bytes to a file, or discard them (fd -1); skip the padding. */
static int pass(struct unpack *unpack, int fd, uint64_t size, const char *name)
{
    uint64_t padding = (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
    for (uint64_t left = size + padding; left;) {
        size_t n = refill(unpack);
        if (!n)
            return bad_archive(unpack, "the archive ends early");
        if (n > left)
            n = (size_t)left;
        size_t content = left > padding ? (size_t)(left - padding < n ? left - padding : n) : 0;
        if (fd >= 0 && content && write_all(fd, unpack->buffer + unpack->at, content))
            return broken(unpack, "write", name);
        unpack->at += n;
        left -= n;
    }
    return 0;
}

/* --- names -------------------------------------------------------------------- */

/* Normalise a name: no leading, doubled or final slash, no `.`; refuse `..`. The empty name is the
 * directory itself. */
static int normalise(struct unpack *unpack, const char *name, char plain[PATH_MAX])
{
    size_t length = 0;
    while (*name) {
        size_t n = strcspn(name, "/");
        if (n == 2 && memcmp(name, "..", 2) == 0)
            return fail(unpack->failure, "unsafe-path", 0, "%.160s has .. in it", name);
        if (n > NAME_MAX || length + n + 2 > PATH_MAX) {
            errno = ENAMETOOLONG;
            return broken(unpack, "unpack", name);
        }
        if (n && !(n == 1 && *name == '.')) {
            if (length)
                plain[length++] = '/';
            memcpy(plain + length, name, n);
            length += n;
        }
        name += n;
        name += *name == '/';
    }
    plain[length] = 0;
    return 0;
}

static int enter(struct unpack *unpack, int parent, const char *name, bool make)
{
    int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, flags);
    if (fd < 0 && errno == ENOENT && make && (mkdirat(parent, name, 0755) == 0 || errno == EEXIST))
        fd = openat(parent, name, flags);
    if (fd >= 0)
        return fd;
    if (errno == ENOTDIR || errno == ELOOP)
        return fail(unpack->failure, "unsafe-path", errno, "%.160s is no directory", name);
    return broken(unpack, "enter", name);
}

/* Walk to the directory above a plain name, one component at a time, following no link.
 * Sets `*last` to the final component. The descriptor stays open until the next walk. */
static int walk(struct unpack *unpack, const char *plain, bool make, const char **last)
{
    const char *slash = strrchr(plain, '/');
    size_t length = slash ? (size_t)(slash - plain) : 0;
    *last = slash ? slash + 1 : plain;
    if (unpack->parent_fd >= 0 && strncmp(unpack->parent, plain, length) == 0 &&
        unpack->parent[length] == 0)
        return unpack->parent_fd;
    if (unpack->parent_fd >= 0)
        close(unpack->parent_fd);
    unpack->parent_fd = -1;
    int fd = fcntl(unpack->base, F_DUPFD_CLOEXEC, 3);
    for (const char *at = plain; fd >= 0 && at < plain + length;) {
        char name[NAME_MAX + 1];
        size_t n = strcspn(at, "/");
        memcpy(name, at, n);
        name[n] = 0;
        int next = enter(unpack, fd, name, make);
        close(fd);
        fd = next;
        at += n + 1;
    }
    memcpy(unpack->parent, plain, length);
    unpack->parent[length] = 0;
    return unpack->parent_fd = fd;
}

/* Remove an old entry before a new one. A directory that is not empty stays, and is an error. */
static int clear(int parent, const char *name)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    return unlinkat(parent, name, AT_REMOVEDIR) && errno != ENOENT ? -1 : 0;
}

/* --- attributes --------------------------------------------------------------- */

static uint64_t choose(bool local, uint64_t one, bool global, uint64_t other, uint64_t fallback)
{
    return local ? one : global ? other : fallback;
}

static uint64_t entry_size(const struct unpack *unpack)
{
    return choose(unpack->local.has_size, unpack->local.size, unpack->global.has_size,
                  unpack->global.size, unpack->header.size);
}

static struct timespec entry_mtime(const struct unpack *unpack)
{
    const struct tar_extension *from = unpack->local.has_mtime ? &unpack->local : &unpack->global;
    if (!from->has_mtime)
        return (struct timespec){unpack->header.mtime, 0};
    return (struct timespec){from->mtime, from->mtime_ns};
}

/* Set the owner of a name in a directory, or (without a name) of an open file, unless `found` says
 * that it has it. Owners need privilege; an ordinary user (tests on a host) owns what it unpacks. */
static int set_owner(const struct unpack *unpack, int at, const char *name,
                     const struct stat *found)
{
    const struct request *request = unpack->request;
    const struct tar_extension *local = &unpack->local, *global = &unpack->global;
    if (!unpack->is_root)
        return 0;
    uint64_t uid = request->present[TAG_UID] ? request->uid
                                             : choose(local->has_uid, local->uid, global->has_uid,
                                                      global->uid, unpack->header.uid);
    uint64_t gid = request->present[TAG_GID] ? request->gid
                                             : choose(local->has_gid, local->gid, global->has_gid,
                                                      global->gid, unpack->header.gid);
    if (found && found->st_uid == (uid_t)uid && found->st_gid == (gid_t)gid)
        return 0;
    return name ? fchownat(at, name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW)
                : fchown(at, (uid_t)uid, (gid_t)gid);
}

/* Leave out attributes that this file system does not support or this user may not set, as tar. */
static int set_xattrs(const struct unpack *unpack, int fd)
{
    for (size_t i = 0; i < unpack->local.xattr_count; i++) {
        const struct tar_xattr *xattr = &unpack->local.xattrs[i];
        if (fsetxattr(fd, xattr->name, xattr->value, xattr->size, 0) && errno != ENOTSUP &&
            errno != EPERM)
            return -1;
    }
    return 0;
}

static int set_mtime(const struct unpack *unpack, int at, const char *name)
{
    struct timespec times[2] = {entry_mtime(unpack), entry_mtime(unpack)};
    return name ? utimensat(at, name, times, AT_SYMLINK_NOFOLLOW) : futimens(at, times);
}

/* --- entries ------------------------------------------------------------------ */

/* Give an open file what its entry says, and change nothing that is so already: emulated, an owner
 * costs a sixth of making a small file. The owner first, since changing it clears setuid bits and
 * capabilities. */
static int set_attributes(const struct unpack *unpack, int fd)
{
    mode_t mode = (mode_t)unpack->header.mode & 07777;
    struct stat made;
    return fstat(fd, &made) || set_owner(unpack, fd, NULL, &made) || set_xattrs(unpack, fd) ||
           fstat(fd, &made) || ((made.st_mode & 07777) != mode && fchmod(fd, mode)) ||
           set_mtime(unpack, fd, NULL);
}

/* Open the file to write to. In a directory that was emptied it has its name at once, since nobody
 * takes what is there for whole before the RESULT; a rename for each file costs a tenth. */
static int open_file(struct unpack *unpack, int parent, const char *name)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    mode_t mode = (mode_t)unpack->header.mode & 0777; /* and no more: the owner is set later */
    if (unpack->request->flags & TAR_IN_KEEP)
        return aside_resume(parent, name, unpack->request->offset);
    if (!(unpack->request->flags & TAR_IN_EMPTY))
        return aside_open(parent);
    int fd = openat(parent, name, flags, mode);
    if (fd < 0 && errno == EEXIST && clear(parent, name) == 0)
        fd = openat(parent, name, flags, mode);
    return fd;
}

static int unpack_file(struct unpack *unpack, int parent, const char *name)
{
    uint64_t size = entry_size(unpack);
    if (size > (uint64_t)1 << 62)
        return bad_archive(unpack, "a file's size is not possible");
    if (unpack->request->flags & TAR_IN_KEEP && unpack->entries > 1)
        return bad_archive(unpack, "more than the one file whose part is kept");
    int fd = open_file(unpack, parent, name);
    if (fd < 0 && errno == EAGAIN)
        return fail(unpack->failure, "in-use", 0, "another copy makes %.160s", name);
    if (fd < 0)
        return broken(unpack, "make", name);
    int failed = pass(unpack, fd, size, name);
    if (!failed && set_attributes(unpack, fd))
        failed = broken(unpack, "set the attributes of", name);
    if (!failed && aside_place(name))
        failed = broken(unpack, "make", name);
    if (failed)
        aside_drop();
    close(fd); /* and with it the lock */
    unpack->bytes += size;
    return failed;
}

static int remember(struct unpack *unpack, const char *plain)
{
    size_t count = unpack->late_count;
    if ((count & (count + 1)) == 0) { /* room for a power of two */
        struct late *grown = realloc(unpack->lates, (2 * count + 2) * sizeof *grown);
        if (!grown)
            return fail(unpack->failure, "no-memory", 0, "no memory for the directories");
        unpack->lates = grown;
    }
    char *copy = strdup(plain);
    if (!copy)
        return fail(unpack->failure, "no-memory", 0, "no memory for the directories");
    unpack->lates[unpack->late_count++] =
        (struct late){copy, unpack->header.mode & 07777, entry_mtime(unpack)};
    return 0;
}

static int unpack_directory(struct unpack *unpack, int parent, const char *name,
                            const char *plain)
{
    struct stat found;
    const char *self = *name ? name : ".";
    if (fstatat(parent, self, &found, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(found.st_mode)) {
        if (clear(parent, name) || mkdirat(parent, name, 0700))
            return broken(unpack, "make", plain);
    }
    int fd = openat(parent, self, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int failed = fd < 0 || set_owner(unpack, fd, NULL, NULL) || set_xattrs(unpack, fd) ||
                 fchmod(fd, (unpack->header.mode & 07777) | 0700);
    if (failed)
        failed = broken(unpack, "set the attributes of", plain);
    if (fd >= 0)
        close(fd);
    return failed ? -1 : remember(unpack, plain);
}

static int unpack_symlink(struct unpack *unpack, int parent, const char *name, const char *target)
{
    if (!*target)
        return bad_archive(unpack, "a link without a target");
    if (clear(parent, name) || symlinkat(target, parent, name) ||
        set_owner(unpack, parent, name, NULL) || set_mtime(unpack, parent, name))
        return broken(unpack, "make the link", name);
    return 0;
}

static int unpack_link(struct unpack *unpack, const char *plain, const char *target)
{
    char plain_target[PATH_MAX];
    const char *last, *target_last;
    if (normalise(unpack, target, plain_target))
        return -1;
    if (strcmp(plain, plain_target) == 0)
        return 0;
    int from = walk(unpack, plain_target, false, &target_last);
    from = from < 0 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, 3);
    if (from < 0)
        return -1;
    int parent = walk(unpack, plain, true, &last);
    int failed = parent < 0;
    if (!failed && (clear(parent, last) || linkat(from, target_last, parent, last, 0)))
        failed = broken(unpack, "make the hard link", plain);
    close(from);
    return failed ? -1 : 0;
}

static int unpack_node(struct unpack *unpack, int parent, const char *name)
{
    const struct tar_header *header = &unpack->header;
    mode_t type = header->type == '3' ? S_IFCHR : header->type == '4' ? S_IFBLK : S_IFIFO;
    mode_t mode = (mode_t)header->mode & 07777;
    dev_t device = makedev((unsigned)header->major, (unsigned)header->minor);
    if (clear(parent, name) || mknodat(parent, name, type | mode, type == S_IFIFO ? 0 : device) ||
        set_owner(unpack, parent, name, NULL) || fchmodat(parent, name, mode, 0) ||
        set_mtime(unpack, parent, name))
        return broken(unpack, "make the device or pipe", name);
    return 0;
}

static int unpack_entry(struct unpack *unpack)
{
    char plain[PATH_MAX];
    const char *last;
    const struct tar_extension *local = &unpack->local;
    const char *link = local->link ? local->link : unpack->header.link;
    char type = unpack->header.type;
    if (normalise(unpack, local->name ? local->name : unpack->header.name, plain))
        return -1;
    size_t length = strlen(local->name ? local->name : unpack->header.name);
    bool slash = length && (local->name ? local->name : unpack->header.name)[length - 1] == '/';
    if ((type == 0 || type == '0') && slash)
        type = '5'; /* the form of directories before POSIX */
    if (!*plain && type != '5')
        return fail(unpack->failure, "unsafe-path", 0, "an entry without a name");
    unpack->entries++;
    if (type == '1')
        return unpack_link(unpack, plain, link) || pass(unpack, -1, entry_size(unpack), plain);
    int parent = walk(unpack, plain, true, &last);
    if (parent < 0)
        return -1;
    if (type == 0 || type == '0' || type == '7')
        return unpack_file(unpack, parent, last);
    int failed;
    if (type == '5')
        failed = unpack_directory(unpack, parent, last, plain);
    else if (type == '2')
        failed = unpack_symlink(unpack, parent, last, link);
    else if (type == '3' || type == '4' || type == '6')
        failed = unpack_node(unpack, parent, last);
    else
        failed = bad_archive(unpack, "an entry of a type that is not supported");
    return failed ? -1 : pass(unpack, -1, entry_size(unpack), plain);
}

/* --- extensions --------------------------------------------------------------- */

/* Read the content of an extension entry; the text is NUL-terminated. */
static char *take_text(struct unpack *unpack)
{
    uint64_t size = unpack->header.size;
    if (size > TAR_EXTENSION_MAX) {
        bad_archive(unpack, "a header that is too large");
        return NULL;
    }
    size_t padded = (size_t)(size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
    char *text = malloc(padded + 1);
    if (!text)
        fail(unpack->failure, "no-memory", 0, "no memory for a header");
    else if (take(unpack, (uint8_t *)text, padded)) {
        free(text);
        text = NULL;
    } else
        text[size] = 0;
    return text;
}

static int take_extension(struct unpack *unpack)
{
    char type = unpack->header.type;
    char **slot = type == 'L'   ? &unpack->long_name
                  : type == 'K' ? &unpack->long_link
                  : type == 'g' ? &unpack->global_records
                                : &unpack->local_records;
    char *text = take_text(unpack);
    if (!text)
        return -1;
    free(*slot);
    *slot = text;
    if (type == 'L')
        unpack->local.name = text;
    else if (type == 'K')
        unpack->local.link = text;
    else {
        struct tar_extension *extension = type == 'g' ? &unpack->global : &unpack->local;
        memset(extension, 0, sizeof *extension);
        if (!tar_parse_pax(text, (size_t)unpack->header.size, extension))
            return bad_archive(unpack, "a PAX header that is malformed or of a sparse file");
    }
    return 0;
}

static void forget_extensions(struct unpack *unpack)
{
    memset(&unpack->local, 0, sizeof unpack->local);
    free(unpack->local_records);
    free(unpack->long_name);
    free(unpack->long_link);
    unpack->local_records = unpack->long_name = unpack->long_link = NULL;
}

static int unpack_all(struct unpack *unpack)
{
    uint8_t block[TAR_BLOCK];
    for (;;) {
        if (take(unpack, block, TAR_BLOCK))
            return -1;
        if (tar_is_zero(block))
            break;
        if (!tar_parse_header(block, &unpack->header))
            return bad_archive(unpack, "a header that is not one of a tar");
        char type = unpack->header.type;
        if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
            if (take_extension(unpack))
                return -1;
            continue;
        }
        if (unpack_entry(unpack))
            return -1;
        forget_extensions(unpack);
    }
    while (refill(unpack)) /* the second block of zeros, and padding */
        unpack->at = unpack->end;
    return 0;
}

/* --- the request -------------------------------------------------------------- */

static int finish_directories(struct unpack *unpack)
{
    for (size_t i = unpack->late_count; i-- > 0;) { /* inner directories first */
        struct late *late = &unpack->lates[i];
        const char *last;
        int parent = walk(unpack, late->name, false, &last);
        if (parent < 0)
            return -1;
        struct timespec times[2] = {late->mtime, late->mtime};
        const char *self = *last ? last : ".";
        int fd = openat(parent, self, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int failed = fd < 0 || fchmod(fd, late->mode) || futimens(fd, times);
        if (fd >= 0)
            close(fd);
        if (failed)
            return broken(unpack, "set the attributes of", late->name);
    }
    return 0;
}

static int open_base(struct unpack *unpack)
{
    const char *path = unpack->request->path;
    if (make_directories(path) && errno != EEXIST)
        return broken(unpack, "make", path);
    if (unpack->request->flags & TAR_IN_EMPTY) {
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || empty_directory(fd))
            return broken(unpack, "empty", path);
    }
    unpack->base = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return unpack->base < 0 ? broken(unpack, "open", path) : 0;
}

static void release(struct unpack *unpack)
{
    forget_extensions(unpack);
    free(unpack->global_records);
    for (size_t i = 0; i < unpack->late_count; i++)
        free(unpack->lates[i].name);
    free(unpack->lates);
    free(unpack->buffer);
    if (unpack->base >= 0)
        close(unpack->base);
    if (unpack->parent_fd >= 0)
        close(unpack->parent_fd);
    free(unpack);
}

int tar_in(int disk, const struct request *request, struct writer *result, struct failure *failure)
{
    (void)disk;
    struct unpack *unpack = calloc(1, sizeof *unpack);
    if (!unpack)
        return fail(failure, "no-memory", 0, "no memory to unpack with");
    aside_watch();
    unpack->request = request;
    unpack->failure = failure;
    unpack->is_root = geteuid() == 0;
    unpack->base = unpack->parent_fd = -1;
    unpack->buffer = malloc(BUFFER);
    int failed = unpack->buffer ? 0 : fail(failure, "no-memory", 0, "no memory to unpack with");
    if (!failed)
        failed = open_base(unpack) || unpack_all(unpack) || finish_directories(unpack);
    put_number(result, TAG_ENTRIES, unpack->entries);
    put_number(result, TAG_BYTES, unpack->bytes);
    release(unpack);
    return failed ? -1 : 0;
}
