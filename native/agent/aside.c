#include "aside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 100 };

/* The name is empty when there is no file. */
static struct {
    int directory;
    unsigned number;
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

static int make(int directory)
{
    char name[48];
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, fd = -1;
    for (int i = 0; fd < 0 && i < TRIES; i++) {
        snprintf(name, sizeof name, ".banger-%d-%u.part", getpid(), ++aside.number);
        fd = openat(directory, name, flags, 0600);
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

int aside_resume(int directory, const char *name, uint64_t offset)
{
    struct stat found;
    aside.directory = directory;
    aside.kept = true;
    snprintf(aside.name, sizeof aside.name, ".%.230s.banger-part", name);
    int fd = openat(directory, aside.name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int failed = fstat(fd, &found);
    if (!failed && (!S_ISREG(found.st_mode) || (uint64_t)found.st_size < offset)) {
        errno = EINVAL; /* not the part that was looked at */
        failed = -1;
    }
    if (failed || ftruncate(fd, (off_t)offset) || lseek(fd, (off_t)offset, SEEK_SET) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
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
