/* A control group for each program that the host waits for, so that giving the program up kills all
 * its descendants, even those that have left its process group and session.
 *
 * The groups are in a cgroup2 mount of the agent's own, which no init of an image sees or needs.
 * They have no controllers. An empty group is reused: under emulation, creating and removing a
 * group costs a quarter of a short command. A kernel that cannot kill a group (before 5.14) gets
 * none; then giving a program up kills only its process group. */
#include "cgroups.h"

#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE "/groups"

enum { TRIES = 4 };

/* Call before entering the root: the mount is detached at once, and lives as long as `groups`. */
void cgroups_open(struct cgroups *cgroups)
{
    mkdir(TREE, 0755);
    if (mount("cgroup2", TREE, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) {
        say("no control groups: %s", strerror(errno));
        return;
    }
    mkdir(TREE "/banger", 0755);
    cgroups->directory = open(TREE "/banger", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    umount2(TREE, MNT_DETACH);
    if (cgroups->directory < 0 || faccessat(cgroups->directory, "cgroup.kill", F_OK, 0) == 0)
        return;
    close(cgroups->directory);
    cgroups->directory = -1;
}

/* Tell whether a group can be used: all its processes have ended. */
static bool is_empty(const struct cgroup *cgroup)
{
    char text[128] = "";
    int fd = openat(cgroup->directory, "cgroup.events", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    return n > 0 && strncmp(text, "populated 0", 11) == 0;
}

/* Make one more group, or return NULL. */
static struct cgroup *make_group(struct cgroups *cgroups)
{
    char name[16];
    struct cgroup *cgroup = &cgroups->groups[cgroups->made];
    if (cgroups->made == CGROUPS)
        return NULL;
    snprintf(name, sizeof name, "%d", cgroups->made);
    if (mkdirat(cgroups->directory, name, 0755) && errno != EEXIST)
        return NULL;
    cgroup->directory = openat(cgroups->directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroup->directory < 0)
        return NULL;
    cgroups->made++;
    return cgroup;
}

static struct cgroup *take_spare(struct cgroups *cgroups)
{
    struct cgroup *cgroup = cgroups->spare;
    if (cgroup && !(cgroups->spare = cgroup->next))
        cgroups->spare_end = &cgroups->spare;
    return cgroup;
}

static void put_spare(struct cgroups *cgroups, struct cgroup *cgroup)
{
    if (!cgroups->spare)
        cgroups->spare_end = &cgroups->spare;
    cgroup->next = NULL;
    *cgroups->spare_end = cgroup;
    cgroups->spare_end = &cgroup->next;
}

/* Give a group back. */
void cgroup_release(struct cgroups *cgroups, struct cgroup *cgroup)
{
    cgroup->next = cgroups->released;
    cgroups->released = cgroup;
}

/* Look at the groups that were given back. This comes after the answer to the host, and not before
 * the next program: an empty group stays so unless the guest's root puts a process into it, which
 * then is one of the next program's. */
void cgroups_settle(struct cgroups *cgroups)
{
    for (struct cgroup *cgroup; (cgroup = cgroups->released);) {
        cgroups->released = cgroup->next;
        cgroup->is_empty = is_empty(cgroup);
        put_spare(cgroups, cgroup);
    }
}

/* Find an empty group, or return NULL. The program owns the group's number until it gives the group
 * back. Groups in which ended programs have left processes go to the end of the line; few are tried
 * before another group is made. */
struct cgroup *cgroup_claim(struct cgroups *cgroups)
{
    if (cgroups->directory < 0)
        return NULL;
    for (int i = 0; i < TRIES && cgroups->spare; i++) {
        struct cgroup *cgroup = take_spare(cgroups);
        if (cgroup->is_empty || is_empty(cgroup))
            return cgroup;
        put_spare(cgroups, cgroup);
    }
    return make_group(cgroups);
}

/* Kill every process in the group. */
void cgroup_kill(const struct cgroup *cgroup)
{
    int fd = openat(cgroup->directory, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "1", 1) != 1)
        say("a control group cannot be ended: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}
