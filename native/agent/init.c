/* PID 1. Forks: the child is the agent; the parent waits for the child's command and becomes the
 * image's init, or stays and reaps. Both must enter the new root, since each process has a root
 * directory of its own. */
#include "init.h"

#include "agent.h"
#include "loop.h"
#include "modules.h"
#include "mounts.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct message {
    char word;
    char path[PATH_MAX];
};

/* The agent's is non-blocking: a console that the host does not drain must not block the agent. */
static void open_console(int flags)
{
    int fd = open("/dev/console", O_RDWR | O_NOCTTY | flags);
    if (fd < 0)
        fd = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++)
        if (fd != i)
            dup2(fd, i);
    if (fd > 2)
        close(fd);
}

/* Raise the hard limit for programs that ask for more, as systemd does for its services. */
static void raise_limits(void)
{
    struct rlimit files = {1024, 524288};
    setrlimit(RLIMIT_NOFILE, &files);
}

static int switch_root(const char *path)
{
    return chdir(path) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/") ? -1 : 0;
}

static void become_init(char *path)
{
    static char term[] = "TERM=linux", home[] = "HOME=/";
    char *words[] = {path, NULL}, *env[] = {term, home, NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    open_console(0);
    execve(path, words, env);
}

static void obey(int fd)
{
    static struct message message;
    ssize_t n = recv(fd, &message, sizeof message, MSG_DONTWAIT);
    if (n <= 1)
        return;
    int error = 0;
    if (message.word == INIT_SWITCH_ROOT)
        error = switch_root(message.path) ? errno : 0;
    else {
        become_init(message.path); /* success: the socket closes, and the agent sees that */
        error = errno;
    }
    send(fd, &error, sizeof error, MSG_NOSIGNAL);
}

static void __attribute__((noreturn)) agent_died(int status)
{
    say("the agent ended (status 0x%x), resetting", status);
    sync();
    reboot(RB_AUTOBOOT); /* which ends every VMM of ours; not all have power to switch off */
    for (;;)
        pause();
}

static void __attribute__((noreturn)) wait_for_word(int fd, pid_t child)
{
    sigset_t mask;
    struct signalfd_siginfo info;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    for (;;) {
        struct pollfd polls[] = {{fd, POLLIN, 0}, {signals, POLLIN, 0}};
        int status;
        pid_t pid;
        poll(polls, 2, -1);
        while (read(signals, &info, sizeof info) > 0)
            ;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            if (pid == child)
                agent_died(status);
        if (polls[0].revents & POLLIN)
            obey(fd);
    }
}

static void __attribute__((noreturn)) serve(int init)
{
    struct agent *agent = calloc(1, sizeof *agent);
    if (!agent)
        _exit(1);
    agent->is_guest = true;
    agent->init = init;
    agent->data = agent->cgroups.directory = -1;
    for (bool told = false; carrier_open(agent); told = true) {
        if (!told)
            say("there is neither a port banger.agent.0 nor vsock yet");
        poll(NULL, 0, 50);
    }
    say("version %s serves on %s", AGENT_VERSION,
        agent->carrier.kind == CARRIER_PORT ? "virtio-serial" : "vsock");
    agent_run(agent);
    _exit(0);
}

void init_main(char *name)
{
    int ends[2];
    mount_api();
    open_console(O_NONBLOCK);
    load_modules();
    raise_limits();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        say("socketpair: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        setsid();
        *name = '@'; /* systemd's last killing spree spares such a process (ROOT_STORAGE_DAEMONS) */
        prctl(PR_SET_NAME, "banger-agent");
        serve(ends[1]);
    }
    close(ends[1]);
    wait_for_word(ends[0], child);
}

/* Called by the agent: send PID 1 a command. Returns 0, or -1 with errno. */
int init_ask(const struct agent *agent, enum init_word word, const char *path)
{
    static struct message message;
    int error = 0;
    message.word = (char)word;
    size_t length = strlen(path);
    if (length >= sizeof message.path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(message.path, path, length + 1);
    if (send(agent->init, &message, length + 2, MSG_NOSIGNAL) < 0)
        return -1;
    ssize_t n = recv(agent->init, &error, sizeof error, 0);
    if (n == 0)
        return 0; /* PID 1 became the image's init */
    errno = n < 0 ? errno : error;
    return n < 0 || error ? -1 : 0;
}
