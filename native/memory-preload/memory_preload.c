/* A library that is preloaded into QEMU: the guest's memory file stays as it is, and QEMU small.
 *
 * QEMU maps the file privately, and still opens it for writing and punches holes into it where
 * the guest gives memory back (ADR 0031): the file is the memory of other VMs as well. So the
 * file that BANGER_MEMORY names is opened for reading here, which is all that a private mapping
 * needs, and a hole in a file that is open for reading is none, and no error: the madvise
 * that QEMU calls next drops the process's own pages, and that is what is wanted.
 *
 * QEMU asks for huge pages for each block of memory, also for the ACPI tables, which are a few
 * pages in a block of 2 MiB: every VM would have all of it. Blocks that small get none.
 *
 * Functions of the same names stand before libc's for all of the process. glibc gives QEMU open64
 * and fallocate64, and __open64_2 where it was built with fortified headers; musl the plain names.
 * Nothing is kept here, so there is nothing to lock. Uses three functions of whichever libc it
 * finds, and is linked to none.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VISIBLE __attribute__((visibility("default")))

enum { PUNCH_HOLE = 2 };  /* linux/falloc.h */
enum { HUGE_PAGE = 14 };  /* asm-generic/mman-common.h */
enum { SMALL = 2 << 20 }; /* bytes: one huge page */

static int open_file(const char *path, int flags, mode_t mode)
{
    const char *memory = getenv("BANGER_MEMORY");
    if (memory && strcmp(path, memory) == 0)
        flags &= ~O_ACCMODE; /* O_RDONLY is 0 */
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static mode_t mode_of(int flags, va_list rest)
{
    return flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? va_arg(rest, mode_t) : 0;
}

VISIBLE int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return open_file(path, flags, mode);
}

VISIBLE int __open_2(const char *path, int flags)
{
    return open_file(path, flags, 0);
}

VISIBLE int open64(const char *path, int flags, ...) __attribute__((alias("open")));
VISIBLE int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));

VISIBLE int fallocate(int fd, int mode, off_t offset, off_t length)
{
    if (mode & PUNCH_HOLE) {
        long flags = syscall(SYS_fcntl, fd, F_GETFL);
        if (flags >= 0 && (flags & O_ACCMODE) == O_RDONLY)
            return 0;
    }
    return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

VISIBLE int fallocate64(int fd, int mode, off_t offset, off_t length)
    __attribute__((alias("fallocate")));

VISIBLE int madvise(void *start, size_t length, int advice)
{
    if (advice == HUGE_PAGE && length <= SMALL)
        return 0;
    return (int)syscall(SYS_madvise, start, length, advice);
}
