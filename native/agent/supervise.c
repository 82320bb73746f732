/* Supervise a program: a process of its own restarts the program when it fails, independently of
 * the host's connection. */
#include "supervise.h"

#include "files.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Delays in seconds before a restart, which grow while the program ends within LASTS_S. */
enum { FIRST_DELAY_S = 1, LAST_DELAY_S = 60, LASTS_S = 60 };

static time_t uptime(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec;
}

/* Wait for the program's end, and tell whether to restart it. */
static bool has_failed(pid_t pid, const char *name)
{
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pid < 0)
        say("%.128s cannot be started", name);
    else if (WIFSIGNALED(status))
        say("%.128s was killed by signal %d", name, WTERMSIG(status));
    else
        say("%.128s has ended with status %d", name, WEXITSTATUS(status));
    return status != 0;
}

/* `told` is closed after the first start, which the agent waits for. */
static void __attribute__((noreturn))
keep_running(starter *start, void *program, const char *name, const int *stdio, int told)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    for (int i = 0; i < 3; i++)
        dup2(stdio[i], i);
    if (told != 3)
        dup3(told, 3, O_CLOEXEC);
    syscall(SYS_close_range, 4u, ~0u, 0u); /* close the agent's, such as the host's connection */
    pid_t pid = start(program);
    close(3);
    if (pid < 0)
        _exit(127);
    for (int delay = FIRST_DELAY_S;; pid = start(program)) {
        time_t started = uptime();
        if (!has_failed(pid, name))
            _exit(0);
        if (uptime() - started >= LASTS_S)
            delay = FIRST_DELAY_S;
        say("%.128s is started again in %d s", name, delay);
        sleep((unsigned)delay);
        delay = 2 * delay < LAST_DELAY_S ? 2 * delay : LAST_DELAY_S;
    }
}

pid_t supervise(starter *start, void *program, const char *name, const int *stdio)
{
    int ends[2];
    char none;
    if (open_pipe(ends))
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        keep_running(start, program, name, stdio, ends[1]);
    int error = errno;
    close(ends[1]);
    while (pid > 0 && read(ends[0], &none, 1) < 0 && errno == EINTR)
        ;
    close(ends[0]);
    errno = error;
    return pid;
}
