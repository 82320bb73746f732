/* Mounts that every machine needs, and copies of trees between them. */
#include "mounts.h"

#include "files.h"
#include "jobs.h"
#include "say.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
    const char *type, *path, *options;
    unsigned long flags;
};

static void mount_places(const struct place *places, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct place *place = &places[i];
        mkdir(place->path, 0755);
        if (mount(place->type, place->path, place->type, place->flags, place->options) &&
            errno != EBUSY)
            say("mount %s: %s", place->path, strerror(errno));
    }
}

/* Mount the file systems needed first, with any init. They are moved into the new root, where an
 * init like systemd finds them mounted and leaves them. */
void mount_api(void)
{
    static const struct place places[] = {
        {"devtmpfs", "/dev", "mode=755", MS_NOSUID},
        {"devpts", "/dev/pts", "mode=620,gid=5,ptmxmode=666", MS_NOSUID | MS_NOEXEC},
        {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
        {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    };
    mount_places(places, sizeof places / sizeof *places);
}

/* Let every user open certain devices: the kernel gives them to root, and udev, if it runs, to all
 * users. Their drivers check permissions themselves. */
void open_devices(void)
{
    static const char *const open[] = {"/dev/fuse", "/dev/net/tun"};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        if (chmod(open[i], 0666) && errno != ENOENT)
            say("open %s to all: %s", open[i], strerror(errno));
}

/* Mount and create what an init would, for an image without init. */
void mount_without_init(void)
{
    static const struct place places[] = {
        {"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV},
        {"tmpfs", "/run", "mode=755", MS_NOSUID | MS_NODEV},
        {"tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV},
        {"cgroup2", "/sys/fs/cgroup", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    };
    mount_places(places, sizeof places / sizeof *places);
    if (symlink("/proc/self/fd", "/dev/fd") || symlink("fd/0", "/dev/stdin") ||
        symlink("fd/1", "/dev/stdout") || symlink("fd/2", "/dev/stderr"))
        say("links in /dev: %s", strerror(errno));
}

static pid_t start_copy(job *task, const char *path, int from, int to, int other)
{
    struct request request = {.path = (char *)(uintptr_t)path};
    uint8_t bytes[REPORT_MAX];
    struct writer writer = {bytes, 0, sizeof bytes, false};
    struct failure failure;
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    umask(0);
    close(other);
    dup2(from, to);
    close(from);
    if (task(-1, &request, &writer, &failure) == 0)
        _exit(0);
    say("copy %s: %s", path, failure.message);
    _exit(1);
}

/* Copy a directory's content, with owners, modes, times and attributes: one process packs it,
 * another unpacks it. */
int copy_tree(const char *from, const char *to, struct failure *failure)
{
    int ends[2], status[2] = {1, 1};
    if (open_pipe(ends))
        return fail(failure, "io", errno, "copy %.64s", from);
    pid_t packer = start_copy(tar_out, from, ends[1], STDOUT_FILENO, ends[0]);
    pid_t unpacker = start_copy(tar_in, to, ends[0], STDIN_FILENO, ends[1]);
    close(ends[0]);
    close(ends[1]);
    if (packer > 0)
        waitpid(packer, &status[0], 0);
    if (unpacker > 0)
        waitpid(unpacker, &status[1], 0);
    if (status[0] || status[1])
        return fail(failure, "io", 0, "copy %.64s (see the console)", from);
    return 0;
}
