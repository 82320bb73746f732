#include "power.h"

#include "agent.h"
#include "files.h"
#include "say.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    SYSTEMD_POWEROFF = 34 + 4, /* SIGRTMIN+4 of glibc; musl's SIGRTMIN differs */
    SYSTEMD_REBOOT = 34 + 5,
    TERM_WAIT_MS = 3000,
    REMOUNT_WAIT_MS = 2000,
};

/* Let the kernel remount every file system read-only, which leaves clean journals. */
static void remount_read_only(const struct agent *agent)
{
    struct statvfs state;
    int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "u", 1) != 1)
        return; /* without this the journal is replayed at the next boot */
    for (int waited = 0; agent->data >= 0 && waited < REMOUNT_WAIT_MS; waited += 5) {
        if (fstatvfs(agent->data, &state) == 0 && (state.f_flag & ST_RDONLY)) {
            syncfs(agent->data); /* waits for the lock that the remount holds until it is done */
            return;
        }
        poll(NULL, 0, 5);
    }
}

/* Tell whether the machine ends by a reset. The host's VMMs with vsock have no power to switch off:
 * the kernel would stop the processors, and the VMM would live on. */
static bool ends_by_reset(const struct agent *agent)
{
    return agent->carrier.kind == CARRIER_VSOCK;
}

static void off(const struct agent *agent)
{
    sync();
    remount_read_only(agent);
    reboot(ends_by_reset(agent) ? RB_AUTOBOOT : RB_POWER_OFF);
    say("power off: %s", strerror(errno));
}

static bool is_busybox(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/1/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    const char *name = strrchr(path, '/');
    return name && strcmp(name, "/busybox") == 0;
}

/* Tell whether a program other than PID 1 and the agent runs. Kernel threads and zombies have
 * no command line. */
static bool has_processes(void)
{
    char path[300], text[8];
    bool found = false;
    DIR *processes = opendir("/proc");
    for (struct dirent *entry; processes && !found && (entry = readdir(processes));) {
        int pid = atoi(entry->d_name);
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        found = pid > 1 && pid != getpid() && read_file(path, text, sizeof text) > 0;
    }
    if (processes)
        closedir(processes);
    return found;
}

/* Ask every process but PID 1 to end, then kill the rest. */
static void end_processes(void)
{
    kill(-1, SIGTERM);
    for (int waited = 0; waited < TERM_WAIT_MS && has_processes(); waited += 20)
        poll(NULL, 0, 20);
    kill(-1, SIGKILL);
}

/* Power off, after POWEROFF has been answered. */
void power_off(struct agent *agent)
{
    agent->power_off = false;
    if (!agent->is_guest) { /* a test on a host: never power off the host */
        agent->quit = true;
        return;
    }
    say("powering off");
    if (agent->power_off_now || !agent->booted) {
        off(agent);
    } else if (access("/run/systemd/system", F_OK) == 0) {
        kill(1, ends_by_reset(agent) ? SYSTEMD_REBOOT : SYSTEMD_POWEROFF);
    } else if (is_busybox()) {
        kill(1, ends_by_reset(agent) ? SIGTERM : SIGUSR2);
    } else {
        end_processes();
        off(agent);
    }
}
