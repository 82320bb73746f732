/* Entry: PID 1 of an initramfs, or `banger-agent --fd N` on a host (tests). */
#include "agent.h"
#include "files.h"
#include "init.h"
#include "loop.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A parent may have ignored signals; the agent's children must not inherit that. */
static void reset_signals(void)
{
    sigset_t none;
    for (int i = 1; i < 65; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int serve_descriptor(const char *text)
{
    char *end;
    long fd = strtol(text, &end, 10);
    if (!*text || *end || fd < 0 || fcntl((int)fd, F_GETFD) < 0) {
        say("--fd %s: not an open descriptor", text);
        return 2;
    }
    fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    set_nonblocking((int)fd);
    struct agent *agent = calloc(1, sizeof *agent);
    if (!agent)
        return 1;
    agent->init = agent->data = agent->cgroups.directory = -1;
    agent->booted = true;
    agent->carrier.kind = CARRIER_SOCKET;
    agent->carrier.fd = (int)fd;
    agent->carrier.listener = agent->carrier.edge = -1;
    agent_run(agent);
    free(agent->orphans);
    free(agent);
    return 0;
}

int main(int count, char **words)
{
    reset_signals();
    umask(022);
    if (getpid() == 1)
        init_main(words[0]);
    if (count == 3 && strcmp(words[1], "--fd") == 0)
        return serve_descriptor(words[2]);
    if (count == 2 && strcmp(words[1], "--version") == 0) {
        puts(AGENT_VERSION);
        return 0;
    }
    fputs("usage: banger-agent --fd N | --version (or as PID 1)\n", stderr);
    return 2;
}
