/* The kernel's modules: those needed at boot, from the initramfs, and the tree of all modules, on a
 * disk of its own, which modprobe finds in the image's root. */
#include "modules.h"

#include "devices.h"
#include "files.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#define TREE "/modules-tree"

static void load(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "/modules/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    /* EEXIST: built in, or loaded before. A module that fails may not be needed on this machine. */
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST))
        say("module %s: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* Load the modules listed in /modules/order, in that order. */
void load_modules(void)
{
    char name[256];
    FILE *order = fopen("/modules/order", "re");
    if (!order)
        return; /* a kernel with everything built in */
    while (fgets(name, sizeof name, order)) {
        name[strcspn(name, "\r\n")] = 0;
        if (*name)
            load(name);
    }
    fclose(order);
}

static void make_node(const char *name, char kind, unsigned major, unsigned minor)
{
    char path[160];
    snprintf(path, sizeof path, "/dev/%s", name);
    if (strstr(path, "..") || make_parents(path))
        return;
    mode_t type = kind == 'c' ? S_IFCHR : S_IFBLK;
    if (mknod(path, type | 0600, makedev(major, minor)) && errno != EEXIST)
        say("device %s: %s", path, strerror(errno));
}

/* Make the nodes whose opening loads a module: /dev/net/tun, /dev/fuse, /dev/loop-control. */
static void make_nodes(void)
{
    char line[300], name[129], kind;
    unsigned major, minor;
    FILE *file = fopen(TREE "/modules.devname", "re");
    if (!file)
        return;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "%*s %128s %c%u:%u", name, &kind, &major, &minor) == 4)
            make_node(name, kind, major, minor);
    fclose(file);
}

/* Mount the tree where modprobe in the new root searches for it. A root whose /lib is a file or a
 * dangling link boots without the tree. */
int mount_modules(const char *device, const char *root, struct failure *failure)
{
    char path[128], place[64];
    struct utsname kernel;
    if (find_device(device, path, sizeof path, failure))
        return -1;
    mkdir(TREE, 0755);
    if (mount(path, TREE, "squashfs", MS_RDONLY | MS_NODEV | MS_NOSUID, NULL))
        return fail(failure, "io", errno, "mount the modules %s", path);
    make_nodes();
    uname(&kernel);
    snprintf(path, sizeof path, "/lib/modules/%.65s", kernel.release);
    int fd = make_in_root(root, path);
    snprintf(place, sizeof place, "/proc/self/fd/%d", fd);
    if (fd < 0 || mount(TREE, place, NULL, MS_MOVE, NULL)) {
        say("no modules at %s: %s", path, strerror(errno));
        umount2(TREE, MNT_DETACH);
    }
    if (fd >= 0)
        close(fd);
    return 0;
}
