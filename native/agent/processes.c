/* PROCESSES: a record for each process of the guest, from /proc, to standard output. Runs as a
 * worker (worker.c). A process that has ended when its turn comes is left out. */
#include "frame.h"
#include "jobs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RECORD = 48, TEXT = 4096, USER = 64, KERNEL = 1, OF_KERNEL = 0x00200000 /* PF_KTHREAD */ };

struct process {
    unsigned pid, parent, uid, flags;
    char state, command[TEXT];
    unsigned long long user_ticks, system_ticks, start_ticks;
    long long pages;
};

/* Read the beginning of a file of /proc/PID; -1 if the process has ended. */
static ssize_t read_proc(unsigned pid, const char *name, char *text)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%u/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT - 1);
    if (fd >= 0)
        close(fd);
    if (n >= 0)
        text[n] = 0;
    return n;
}

/* `PID (name) state parent ...`, where the name may contain anything: proc_pid_stat(5). */
static bool parse_stat(char *text, struct process *process)
{
    char *name = strchr(text, '('), *end = strrchr(text, ')');
    if (!name || !end ||
        sscanf(end + 1,
               " %c %u %*d %*d %*d %*d %u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu "
               "%*u %lld",
               &process->state, &process->parent, &process->flags, &process->user_ticks,
               &process->system_ticks, &process->start_ticks, &process->pages) != 7)
        return false;
    snprintf(process->command, sizeof process->command, "[%.*s]", (int)(end - name - 1), name + 1);
    return true;
}

/* Take the arguments, separated by spaces; a process without any keeps its name in brackets. */
static void read_arguments(struct process *process)
{
    char text[TEXT];
    ssize_t n = read_proc(process->pid, "cmdline", text);
    while (n > 0 && !text[n - 1])
        n--;
    if (n <= 0)
        return;
    for (ssize_t i = 0; i < n; i++)
        if (!text[i])
            text[i] = ' ';
    memcpy(process->command, text, (size_t)n);
    process->command[n] = 0;
}

static bool read_process(struct process *process)
{
    char text[TEXT];
    if (read_proc(process->pid, "stat", text) < 0 || !parse_stat(text, process) ||
        read_proc(process->pid, "status", text) < 0)
        return false;
    const char *line = strstr(text, "\nUid:");
    process->uid = line ? (unsigned)strtoul(line + 5, NULL, 10) : 0;
    read_arguments(process);
    return true;
}

/* Return a user's name, "" if there is none; not by getpwuid, which may ask whoever listens on
 * nscd's socket. */
static const char *find_name(unsigned uid)
{
    static char name[USER];
    static unsigned named = UINT32_MAX;
    struct passwd *entry;
    if (named == uid)
        return name;
    named = uid;
    name[0] = 0;
    setpwent();
    while ((entry = getpwent()) && entry->pw_uid != uid)
        ;
    if (entry)
        snprintf(name, sizeof name, "%s", entry->pw_name);
    return name;
}

static int put_process(const struct process *process, uint64_t up_ns)
{
    uint8_t record[RECORD];
    const char *user = find_name(process->uid);
    uint64_t tick_ns = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    uint64_t started_ns = process->start_ticks * tick_ns;
    size_t command = strlen(process->command), name = strlen(user);
    put_u32(record, (uint32_t)command);
    put_u32(record + 4, (uint32_t)name);
    put_u32(record + 8, process->pid);
    put_u32(record + 12, process->parent);
    put_u32(record + 16, process->uid);
    put_u32(record + 20, (uint32_t)(uint8_t)process->state |
                             (process->flags & OF_KERNEL ? KERNEL << 8 : 0));
    put_u64(record + 24, (process->user_ticks + process->system_ticks) * tick_ns);
    put_u64(record + 32, up_ns > started_ns ? up_ns - started_ns : 0);
    put_u64(record + 40, (uint64_t)process->pages * (uint64_t)sysconf(_SC_PAGESIZE));
    return fwrite(record, RECORD, 1, stdout) == 1 &&
                   fwrite(process->command, 1, command, stdout) == command &&
                   fwrite(user, 1, name, stdout) == name
               ? 0
               : -1;
}

int list_processes(int disk, const struct request *request, struct writer *result,
                   struct failure *failure)
{
    (void)disk, (void)request;
    static struct process process;
    uint64_t entries = 0;
    struct timespec up = {0};
    DIR *directory = opendir("/proc");
    if (!directory)
        return fail(failure, "io", errno, "read /proc");
    clock_gettime(CLOCK_BOOTTIME, &up);
    uint64_t up_ns = (uint64_t)(up.tv_sec * 1000000000LL + up.tv_nsec);
    for (struct dirent *entry; (entry = readdir(directory));) {
        process.pid = (unsigned)strtoul(entry->d_name, NULL, 10);
        if (!isdigit((unsigned char)*entry->d_name) || process.pid == (unsigned)getpid() ||
            !read_process(&process))
            continue;
        if (put_process(&process, up_ns))
            return fail(failure, "io", errno, "send");
        entries++;
    }
    closedir(directory);
    put_number(result, TAG_ENTRIES, entries);
    return fflush(stdout) ? fail(failure, "io", errno, "send") : 0;
}
