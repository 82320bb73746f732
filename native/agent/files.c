#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Create the directories above `path` that do not exist. */
int make_parents(const char *path)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof part) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (size_t i = 1; i < length; i++) {
        if (path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0755) && errno != EEXIST)
            return -1;
    }
    return 0;
}

int make_directories(const char *path)
{
    if (make_parents(path))
        return -1;
    return mkdir(path, 0755) && errno != EEXIST ? -1 : 0;
}

/* linux/openat2.h */
struct how {
    uint64_t flags, mode, resolve;
};
enum { NO_MAGIC_LINKS = 2, NO_SYMLINKS = 4, BENEATH = 8, IN_ROOT = 0x10 };

/* Open a directory of another root as a process in that root would: an image's links resolve as in
 * the guest. */
int open_in_root(const char *root, const char *path)
{
    struct how how = {O_PATH | O_DIRECTORY | O_CLOEXEC, 0, IN_ROOT};
    int base = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (base < 0)
        return -1;
    int fd = (int)syscall(SYS_openat2, base, path, &how, sizeof how);
    int error = errno;
    close(base);
    errno = error;
    return fd;
}

/* The same, but create the missing directories of an absolute path. A dangling link stays. */
int make_in_root(const char *root, const char *path)
{
    char part[PATH_MAX];
    int above = open_in_root(root, "/"), fd = -1;
    for (size_t i = 1; above >= 0 && i < sizeof part; i++) {
        if (path[i] && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        fd = open_in_root(root, part);
        if (fd < 0 && errno == ENOENT && mkdirat(above, strrchr(part, '/') + 1, 0755) == 0)
            fd = open_in_root(root, part);
        int error = errno;
        close(above);
        errno = error;
        if (!path[i])
            return fd;
        above = fd;
    }
    return -1;
}

/* Tell whether creating a path failed with `error` because of the root's content: a file in place
 * of a directory, a directory in place of a file, a dangling link. */
bool is_occupied(int error)
{
    return error == ENOTDIR || error == EISDIR || error == ELOOP || error == EEXIST ||
           error == ENOENT;
}

/* Magic numbers (statfs(2), linux/magic.h) of file systems whose files have no true size, or no end:
 * proc, sysfs, devpts, debugfs, tracefs, securityfs, cgroup, cgroup2, bpf, configfs, pstore, efivarfs,
 * selinuxfs, binfmt_misc, fusectl, nsfs. */
static const unsigned kernels[] = {
    0x9fa0,     0x62656572, 0x1cd1,     0x64626720, 0x74726163, 0x73636673, 0x27e0eb,   0x63677270,
    0xcafe4a11, 0x62656570, 0x6165676c, 0xde5e81e4, 0xf97cff8c, 0x42494e4d, 0x65735543, 0x6e736673,
};

/* Tell whether a file is the kernel's own state. */
bool is_kernels(int fd)
{
    struct statfs system;
    if (fstatfs(fd, &system))
        return false;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if ((unsigned)system.f_type == kernels[i])
            return true;
    return false;
}

/* Open a name below a directory without following links, neither on the way (ELOOP) nor at the end,
 * where O_PATH | O_NOFOLLOW opens the link itself. */
int open_beneath(int base, const char *name, int flags)
{
    struct how how = {(uint64_t)(flags | O_CLOEXEC), 0, BENEATH | NO_SYMLINKS | NO_MAGIC_LINKS};
    int fd = (int)syscall(SYS_openat2, base, name, &how, sizeof how);
    if (fd < 0 && errno == EXDEV)
        errno = ENOENT; /* the name leads out of the directory */
    return fd;
}

/* Write everything to a blocking descriptor. */
int write_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        at += n;
        size -= (size_t)n;
    }
    return 0;
}

/* Read a small text file up to its first newline; returns its length or -1. */
ssize_t read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    if (n < 0)
        return -1;
    text[n] = 0;
    text[strcspn(text, "\n")] = 0;
    return (ssize_t)strlen(text);
}

/* A pipe as large as a window. */
int open_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC))
        return -1;
    fcntl(ends[0], F_SETPIPE_SZ, PIPE_SIZE); /* for fewer process switches; may fail */
    return 0;
}

void set_nonblocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void remove_entry(int directory, const char *name, dev_t device)
{
    struct stat entry;
    if (fstatat(directory, name, &entry, AT_SYMLINK_NOFOLLOW) || entry.st_dev != device)
        return; /* something is mounted there */
    if (!S_ISDIR(entry.st_mode)) {
        unlinkat(directory, name, 0);
        return;
    }
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        empty_directory(fd);
    unlinkat(directory, name, AT_REMOVEDIR);
}

/* Remove the content of a directory, except mounts, and close its descriptor.
 * Returns -1 if anything is left. */
int empty_directory(int fd)
{
    struct stat self;
    DIR *directory = fdopendir(fd);
    if (!directory)
        return -1;
    for (bool again = true; again;) {
        again = false; /* names may move while entries are removed: repeat until none is removed */
        int before = 0, after = 0;
        rewinddir(directory);
        for (struct dirent *entry; (entry = readdir(directory));) {
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                continue;
            before++;
            if (fstat(dirfd(directory), &self) == 0)
                remove_entry(dirfd(directory), entry->d_name, self.st_dev);
            after += faccessat(dirfd(directory), entry->d_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
        }
        if (after && after == before) {
            closedir(directory);
            errno = ENOTEMPTY;
            return -1;
        }
        again = before > 0;
    }
    closedir(directory);
    return 0;
}

/* Remove a directory with its content, if it exists. */
int remove_tree(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    return empty_directory(fd) || rmdir(path) ? -1 : 0;
}
