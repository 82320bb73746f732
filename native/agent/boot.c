/* BOOT: assemble the root, enter it, start the image's init. */
#include "boot.h"

#include "agent.h"
#include "devices.h"
#include "files.h"
#include "identity.h"
#include "init.h"
#include "modules.h"
#include "mounts.h"
#include "net.h"
#include "say.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define IMAGE "/image"
#define DISK "/disk"
#define NEW "/newroot"

/* From linux/ext4.h, which some systems lack: the new size in blocks. */
#define RESIZE_EXT4 _IOW('f', 16, uint64_t)

static int mount_image(const char *text, struct failure *failure)
{
    static const char *const types[] = {"squashfs", "erofs", "ext4"};
    char device[64];
    if (find_device(text, device, sizeof device, failure))
        return -1;
    int error = 0;
    for (int i = 0; i < 3; i++) {
        if (mount(device, IMAGE, types[i], MS_RDONLY, NULL) == 0)
            return 0;
        if (errno != EINVAL && errno != ENODEV) /* neither another type nor not in this kernel */
            error = errno;
    }
    return fail(failure, "io", error ? error : EINVAL, "mount the image %s", device);
}

/* Grow the file system to the size of its disk. The kernel does so through the journal, so the next
 * boot completes an interrupted resize. After a failure the disk is usable as before. */
static void grow_data(int data, const char *device)
{
    struct statvfs known;
    uint64_t size = 0;
    int disk = open(device, O_RDONLY | O_CLOEXEC);
    int failed = disk < 0 || ioctl(disk, BLKGETSIZE64, &size) || fstatvfs(data, &known);
    if (!failed) {
        uint64_t blocks = size / known.f_frsize;
        failed = ioctl(data, RESIZE_EXT4, &blocks);
    }
    if (failed)
        say("grow the data disk: %s", strerror(errno));
    if (disk >= 0)
        close(disk);
}

static int mount_data(struct agent *agent, const char *text, struct failure *failure)
{
    char device[64];
    if (find_device(text, device, sizeof device, failure))
        return -1;
    if (mount(device, DISK, "ext4", MS_NOATIME, NULL))
        return fail(failure, "io", errno, "mount the data disk %s", device);
    agent->data = open(DISK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (agent->data < 0)
        return fail(failure, "io", errno, "open the data disk");
    grow_data(agent->data, device);
    return 0;
}

/* --- overlay and native directories ------------------------------------------- */

/* The root directory's owner and mode come from the upper directory. */
static int mount_overlay(struct failure *failure)
{
    struct stat root;
    bool fresh = access(DISK "/overlay/upper", F_OK) != 0;
    if (make_directories(DISK "/overlay/upper") || make_directories(DISK "/overlay/work"))
        return fail(failure, "io", errno, "make the overlay's directories");
    if (fresh && (stat(IMAGE, &root) || chown(DISK "/overlay/upper", root.st_uid, root.st_gid) ||
                  chmod(DISK "/overlay/upper", root.st_mode & 07777)))
        return fail(failure, "io", errno, "copy the root directory's mode");
    /* redirect_dir: without it a rename of the image's directories fails with EXDEV. */
    if (mount("overlay", NEW, "overlay", 0,
              "lowerdir=" IMAGE ",upperdir=" DISK "/overlay/upper,workdir=" DISK "/overlay/work"
              ",redirect_dir=on"))
        return fail(failure, "io", errno, "mount the overlay");
    return 0;
}

/* Fill a native directory from the image under a temporary name, flush it, then rename it: a
 * crash leaves no directory that looks complete. */
static int fill_native(struct agent *agent, const char *path, const char *home,
                       struct failure *failure)
{
    char aside[PATH_MAX], from[64];
    struct stat kept = {.st_mode = 0755};
    snprintf(aside, sizeof aside, "%.4000s.new", home);
    if (make_parents(aside) || remove_tree(aside) || mkdir(aside, 0700))
        return fail(failure, "io", errno, "make %.128s", aside);
    int image = open_in_root(IMAGE, path);
    if (image >= 0) {
        snprintf(from, sizeof from, "/proc/self/fd/%d", image);
        int failed = fstat(image, &kept) || copy_tree(from, aside, failure);
        close(image);
        if (failed)
            return -1;
    }
    if (chown(aside, kept.st_uid, kept.st_gid) || chmod(aside, kept.st_mode & 07777) ||
        syncfs(agent->data) || rename(aside, home))
        return fail(failure, "io", errno, "keep %.128s", home);
    return 0;
}

/* A root with a file or a dangling link on the path boots without the native directory. */
static int mount_native(struct agent *agent, const char *path, struct failure *failure)
{
    char home[PATH_MAX], target[64];
    int fd = make_in_root(NEW, path);
    if (fd < 0 && !is_occupied(errno))
        return fail(failure, "io", errno, "find %.128s in the root", path);
    if (fd < 0) {
        say("no directory at %s: %s", path, strerror(errno));
        return 0;
    }
    snprintf(home, sizeof home, DISK "/native%.3900s", path);
    if (access(home, F_OK) && fill_native(agent, path, home, failure)) {
        close(fd);
        return -1;
    }
    snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
    int failed = mount(home, target, NULL, MS_BIND, NULL);
    int error = errno;
    close(fd);
    return failed ? fail(failure, "io", error, "mount the native %.128s", path) : 0;
}

static int mount_natives(struct agent *agent, const struct request *request,
                         struct failure *failure)
{
    for (size_t i = 0; i < request->native.count; i++)
        if (mount_native(agent, request->native.items[i], failure))
            return -1;
    return 0;
}

/* --- the new root ------------------------------------------------------------- */

static int move_api(struct failure *failure)
{
    static const char *const places[] = {"/dev", "/proc", "/sys"};
    for (int i = 0; i < 3; i++) {
        char target[64];
        snprintf(target, sizeof target, NEW "%s", places[i]);
        mkdir(target, 0755);
        if (mount(places[i], target, NULL, MS_MOVE, NULL))
            return fail(failure, "io", errno, "move %s into the new root", places[i]);
    }
    return 0;
}

/* Change the root of both agent processes; then empty the initramfs, which frees its memory, so
 * that only mounts hold the two disks. */
static int enter_root(struct agent *agent, struct failure *failure)
{
    char path[64];
    int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int new = open(NEW, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (old < 0 || new < 0 || init_ask(agent, INIT_SWITCH_ROOT, NEW) || fchdir(new) ||
        chroot(".") || chdir("/"))
        return fail(failure, "io", errno, "switch to the new root");
    close(new);
    static const char *const disks[] = {IMAGE, DISK};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d%s", old, disks[i]);
        if (umount2(path, MNT_DETACH))
            say("detach %s: %s", disks[i], strerror(errno));
    }
    empty_directory(old);
    return 0;
}

static bool is_plain_path(const char *path)
{
    return *path == '/' && path[1] && !strstr(path, "/../") && !strstr(path, "//") &&
           path[strlen(path) - 1] != '/' && strlen(path) < 2048 &&
           !(strlen(path) >= 3 && strcmp(path + strlen(path) - 3, "/..") == 0);
}

static int check_request(const struct agent *agent, const struct request *request,
                         struct failure *failure)
{
    if (!agent->is_guest || agent->booted)
        return fail(failure, "bad-request", 0, "this machine is booted");
    if (!request->data)
        return fail(failure, "bad-request", 0, "field %d is missing", TAG_DATA);
    if (request->init && *request->init != '/')
        return fail(failure, "bad-request", 0, "INIT is not absolute");
    for (size_t i = 0; i < request->native.count; i++)
        if (!is_plain_path(request->native.items[i]))
            return fail(failure, "bad-request", 0, "NATIVE is not a plain absolute path");
    return identity_check(request, failure);
}

int boot(struct agent *agent, const struct request *request, struct failure *failure)
{
    if (check_request(agent, request, failure))
        return -1;
    mkdir(IMAGE, 0755);
    mkdir(DISK, 0755);
    mkdir(NEW, 0755);
    cgroups_open(&agent->cgroups);
    if (mount_image(request->root, failure) || mount_data(agent, request->data, failure) ||
        mount_overlay(failure) || mount_natives(agent, request, failure) ||
        (request->modules && mount_modules(request->modules, NEW, failure)) ||
        move_api(failure) || enter_root(agent, failure))
        return -1;
    open_devices();
    if (!request->init)
        mount_without_init();
    loopback_up();
    if (identity_apply(request, failure))
        return -1;
    if (request->init && init_ask(agent, INIT_EXEC, request->init))
        return fail(failure, "io", errno, "start the init %.128s", request->init);
    agent->booted = true;
    return 0;
}
