/* A control group for each program that the host waits for, so that giving it up ends all that it
 * has started, also what has left its process group and its session.
 *
 * The groups lie in a cgroup2 tree of our own mount, which no init of the image knows or needs. They
 * hold no controllers. A group is used again once nothing lives in it: under emulation making and
 * removing one costs a quarter of a short command. A kernel that cannot end a group (before 5.14)
 * gets none: then giving a program up ends its process group. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TREE "/groups"

/* linux/sched.h, which is not everywhere: the arguments of clone3 as of Linux 5.7. */
struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};

#define FLAG_VFORK 0x4000ull
#define FLAG_INTO_GROUP 0x200000000ull

/* Before the root is entered: the mount is detached at once, and lives as long as `groups`. */
void cgroups_open(struct agent *agent)
{
    mkdir(TREE, 0755);
    if (mount("cgroup2", TREE, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) {
        say("no control groups: %s", strerror(errno));
        return;
    }
    mkdir(TREE "/banger", 0755);
    agent->cgroups = open(TREE "/banger", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    umount2(TREE, MNT_DETACH);
    if (agent->cgroups < 0 || faccessat(agent->cgroups, "cgroup.kill", F_OK, 0) == 0)
        return;
    close(agent->cgroups);
    agent->cgroups = -1;
}

/* Tell whether a group can be used: nothing that was started in it lives. */
static bool is_empty(const struct cgroup *cgroup)
{
    char text[128] = "";
    int fd = openat(cgroup->directory, "cgroup.events", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    return n > 0 && strstr(text, "populated 0");
}

static int make_directory(const struct agent *agent, int number)
{
    char name[16];
    snprintf(name, sizeof name, "%d", number);
    if (mkdirat(agent->cgroups, name, 0755) && errno != EEXIST)
        return -1;
    return openat(agent->cgroups, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Find an empty group, or NULL where there is none. Its number is the program's until it is given
 * back; those that programs have left something running in are passed over. */
struct cgroup *cgroup_claim(struct agent *agent)
{
    for (int i = 0; i < CGROUPS && agent->cgroups >= 0; i++) {
        struct cgroup *cgroup = &agent->cgroup[i];
        if (cgroup->is_claimed)
            continue;
        if (!cgroup->directory && (cgroup->directory = make_directory(agent, i)) < 0) {
            cgroup->directory = 0;
            return NULL;
        }
        cgroup->is_claimed = is_empty(cgroup);
        if (cgroup->is_claimed)
            return cgroup;
    }
    return NULL;
}

/* Fork a child that is in the group from its first moment; as after vfork the parent waits until
 * the child has executed or ended, but they share no memory. Moving it in afterwards would
 * wait for the kernel's RCU each time. */
pid_t cgroup_fork(const struct cgroup *cgroup)
{
    struct clone_arguments arguments = {.flags = FLAG_VFORK | FLAG_INTO_GROUP,
                                        .exit_signal = SIGCHLD,
                                        .cgroup = (uint64_t)cgroup->directory};
    return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

/* End every process in the group. */
void cgroup_kill(const struct cgroup *cgroup)
{
    int fd = openat(cgroup->directory, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "1", 1) != 1)
        say("a control group cannot be ended: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}
