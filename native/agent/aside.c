#include "aside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PARTS = 1000, LOCK_TRIES = 100, LOCK_EVERY_MS = 50 };

/* The name is empty when there is no file. */
static struct {
    int directory;
    bool kept;
    char name[NAME_MAX + 1];
} aside;

static void end(int signal)
{
    (void)signal;
    aside_drop();
    _exit(1);
}

void aside_watch(void)
{
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
}

/* Lock the file that has a name. Fails with EAGAIN if another process has it locked, or has removed
 * or renamed it meanwhile. The lock ends with the descriptor, so also by a crash. A file system
 * without locks (some of the network) is written to without one. */
static int lock(int fd, int directory, const char *name)
{
    struct stat mine, named;
    if (flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return -1;
    if (fstat(fd, &mine))
        return -1;
    if (fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
        mine.st_dev == named.st_dev && mine.st_ino == named.st_ino)
        return 0;
    errno = EAGAIN;
    return -1;
}

static int close_failed(int fd)
{
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Remove the part of a copy whose machine crashed: nobody has it locked. What is no such file stays. */
static void remove_left(int directory, const char *name)
{
    struct stat found;
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && lock(fd, directory, name) == 0 &&
        fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && (found.st_mode & 07777) == 0600 &&
        found.st_uid == geteuid())
        unlinkat(directory, name, 0);
    close(fd);
}

/* Fails with EEXIST if there is a file of this name. */
static int make_locked(int directory, const char *name)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(directory, name, flags, 0600);
    if (fd < 0 || lock(fd, directory, name) == 0)
        return fd;
    close(fd); /* another copy took it for one that was left, before it was locked */
    errno = EEXIST;
    return -1;
}

/* The names are few, so that what a crash left is met by the next copy into its directory. */
static int make(int directory)
{
    char name[48];
    int fd = -1;
    for (int i = 1; fd < 0 && i <= PARTS; i++) {
        snprintf(name, sizeof name, ".banger-%d.part", i);
        fd = make_locked(directory, name);
        if (fd < 0 && errno == EEXIST) {
            remove_left(directory, name);
            fd = make_locked(directory, name);
        }
        if (fd < 0 && errno != EEXIST)
            return -1;
    }
    if (fd >= 0) {
        aside.directory = directory;
        strcpy(aside.name, name);
    }
    return fd;
}

int aside_open(int directory)
{
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before); /* else one could come between the file and its name */
    int fd = make(directory), error = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return fd;
}

static int open_kept(int directory)
{
    int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int fd = openat(directory, aside.name, flags, 0600);
    return fd >= 0 && lock(fd, directory, aside.name) ? close_failed(fd) : fd;
}

static int cut(int fd, uint64_t offset)
{
    struct stat found;
    if (fstat(fd, &found))
        return -1;
    if (!S_ISREG(found.st_mode) || (uint64_t)found.st_size < offset) {
        errno = EINVAL; /* not the part that was looked at */
        return -1;
    }
    return ftruncate(fd, (off_t)offset) || lseek(fd, (off_t)offset, SEEK_SET) < 0 ? -1 : 0;
}

int aside_resume(int directory, const char *name, uint64_t offset)
{
    aside.directory = directory;
    aside.kept = true;
    snprintf(aside.name, sizeof aside.name, ".%.230s.banger-part", name);
    const struct timespec pause = {0, LOCK_EVERY_MS * 1000000L};
    int fd = open_kept(directory);
    /* A copy that was broken off just now may not have ended yet. */
    for (int i = 0; fd < 0 && errno == EAGAIN && i < LOCK_TRIES; i++) {
        nanosleep(&pause, NULL);
        fd = open_kept(directory);
    }
    return fd >= 0 && cut(fd, offset) ? close_failed(fd) : fd;
}

int aside_place(const char *name)
{
    if (!*aside.name)
        return 0;
    int failed = renameat(aside.directory, aside.name, aside.directory, name);
    if (failed && errno == EISDIR && unlinkat(aside.directory, name, AT_REMOVEDIR) == 0)
        failed = renameat(aside.directory, aside.name, aside.directory, name);
    if (!failed)
        *aside.name = 0;
    return failed;
}

void aside_drop(void)
{
    int error = errno;
    if (*aside.name && !aside.kept)
        unlinkat(aside.directory, aside.name, 0);
    *aside.name = 0;
    errno = error;
}
