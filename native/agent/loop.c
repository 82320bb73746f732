#include "loop.h"

#include "agent.h"
#include "power.h"
#include "say.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    LISTENERS_MS = 1000, /* interval for reading the listening sockets */
    GONE_MS = 1000,      /* interval for checking a port without a host, besides its wake-ups */
};

static int open_signals(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool has_listeners(const struct agent *agent)
{
    for (int i = 0; i < STREAMS; i++)
        if (agent->streams[i].id && agent->streams[i].kind == KIND_LISTENERS)
            return true;
    return false;
}

static int timeout(const struct agent *agent)
{
    if (carrier_waits(agent))
        return 0;
    if (has_listeners(agent))
        return LISTENERS_MS;
    return agent->carrier.gone ? GONE_MS : -1;
}

static struct pollfd carrier_poll(struct agent *agent)
{
    struct carrier *carrier = &agent->carrier;
    if (carrier->gone)
        return (struct pollfd){carrier->edge, POLLIN, 0};
    short events = carrier_reads(agent) ? POLLIN : 0;
    if (carrier->out_end > carrier->out_start)
        events |= POLLOUT;
    return (struct pollfd){carrier->fd, events, 0};
}

static void turn(struct agent *agent, struct pollfd *polls)
{
    nfds_t count = 3;
    polls[0] = carrier_poll(agent);
    polls[1] = (struct pollfd){agent->carrier.listener, POLLIN, 0};
    polls[2] = (struct pollfd){agent->signals, POLLIN, 0};
    for (int i = 0; i < STREAMS; i++)
        if (agent->streams[i].id)
            stream_poll(agent, &agent->streams[i], polls, &count);
    if (poll(polls, count, timeout(agent)) < 0 && errno != EINTR)
        say("poll: errno %d", errno);
    if (polls[2].revents) {
        struct signalfd_siginfo info;
        while (read(agent->signals, &info, sizeof info) > 0)
            ;
        reap(agent);
    }
    for (int i = 0; i < STREAMS; i++)
        if (agent->streams[i].id)
            stream_serve(agent, &agent->streams[i], polls);
    carrier_serve(agent, polls[0].revents, polls[1].revents != 0);
    carrier_flush(agent);
}

/* Serve until the host is gone for good (a descriptor) or the machine is off. */
void agent_run(struct agent *agent)
{
    static struct pollfd polls[3 + 3 * STREAMS];
    agent->signals = open_signals();
    agent->carrier.out = malloc(OUT_SIZE);
    if (agent->signals < 0 || !agent->carrier.out) {
        say("cannot start: errno %d", errno);
        return;
    }
    frame_skip(&agent->carrier.parser);
    while (!agent->quit) {
        turn(agent, polls);
        if (agent->power_off && agent->carrier.out_start == agent->carrier.out_end)
            power_off(agent);
    }
    streams_drop(agent);
    free(agent->carrier.out);
    close(agent->signals);
}
