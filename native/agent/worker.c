#include "worker.h"

#include "agent.h"
#include "channels.h"
#include "files.h"
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The worker's ends of its pipes; -1 for none. */
struct ends {
    int in, out, report;
};

/* Arrange the descriptors and close all others: a worker that held other streams' pipes open would
 * keep their programs from ever seeing the end of their input. */
static int keep_descriptors(int *disk, const struct ends *ends)
{
    int report = fcntl(ends->report, F_DUPFD, 512);
    int data = *disk < 0 ? -1 : fcntl(*disk, F_DUPFD, 512);
    if (ends->in >= 0)
        dup2(ends->in, STDIN_FILENO);
    if (ends->out >= 0)
        dup2(ends->out, STDOUT_FILENO);
    dup2(report, 3);
    if (data >= 0)
        *disk = dup2(data, 4);
    int others = data >= 0 ? 5 : 4;
    if (syscall(SYS_close_range, (unsigned)others, ~0u, 0u))
        for (int fd = others; fd < FILES_MAX; fd++)
            close(fd);
    return 3;
}

static void __attribute__((noreturn))
work(const struct agent *agent, const struct request *request, job *task, const struct ends *ends)
{
    int disk = agent->data;
    uint8_t bytes[REPORT_MAX];
    struct writer writer = {bytes + 1, 0, sizeof bytes - 1, false};
    struct failure failure;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    umask(0);
    int report = keep_descriptors(&disk, ends);
    setrlimit(RLIMIT_NOFILE, &agent->files);
    if (task(disk, request, &writer, &failure) == 0) {
        bytes[0] = FRAME_RESULT;
    } else {
        bytes[0] = FRAME_ERROR;
        writer.size = 0;
        put_failure(&writer, &failure);
    }
    close(STDOUT_FILENO);
    _exit(write_all(report, bytes, writer.size + 1) ? 1 : 0);
}

static int open_ends(struct ends *near, struct ends *far, bool reads, bool writes)
{
    int ends[2];
    if (open_pipe(ends))
        return -1;
    near->report = ends[0];
    far->report = ends[1];
    if (reads) {
        if (open_pipe(ends))
            return -1;
        far->in = ends[0];
        near->in = ends[1];
        set_nonblocking(near->in);
    }
    if (writes) {
        if (open_pipe(ends))
            return -1;
        near->out = ends[0];
        far->out = ends[1];
        set_nonblocking(near->out);
    }
    set_nonblocking(near->report);
    return 0;
}

static void close_ends(const struct ends *ends)
{
    const int all[] = {ends->in, ends->out, ends->report};
    for (int i = 0; i < 3; i++)
        if (all[i] >= 0)
            close(all[i]);
}

/* Run a job in a process of its own; its pipes become the stream's channels. */
int worker_start(struct agent *agent, struct stream *stream, const struct request *request,
                 job *task, bool reads, bool writes, struct failure *failure)
{
    struct ends near = {-1, -1, -1}, far = {-1, -1, -1};
    pid_t pid = open_ends(&near, &far, reads, writes) ? -1 : fork();
    int error = errno;
    if (pid == 0)
        work(agent, request, task, &far);
    if (pid > 0)
        setpgid(pid, pid); /* here too: a CLOSE may come before the child has run */
    close_ends(&far);
    if (pid < 0) {
        close_ends(&near);
        return fail(failure, "io", error, "start a worker");
    }
    stream_runs(agent, stream, pid);
    stream->report = near.report;
    stream->in.fd = near.in;
    stream->out[0].fd = near.out;
    stream_take(agent, stream, NULL, 0);
    return 1;
}

/* SYNC */
int sync_disks(int disk, const struct request *request, struct writer *result,
               struct failure *failure)
{
    (void)request, (void)result;
    sync();
    if (disk >= 0 && syncfs(disk))
        return fail(failure, "io", errno, "flush the data disk");
    return 0;
}
