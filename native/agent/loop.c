#include "loop.h"

#include "agent.h"
#include "attach.h"
#include "channels.h"
#include "listeners.h"
#include "power.h"
#include "say.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    LISTENERS_MS = 1000, /* interval for reading the listening sockets */
    GONE_MS = 1000,      /* interval for checking a port without a host, besides its wake-ups */
    SERVED_MAX = 64,     /* ends of streams that are served before the host is heard again */
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

/* Allow the agent what its streams need; programs get the limit of before. */
static void raise_files(struct agent *agent)
{
    getrlimit(RLIMIT_NOFILE, &agent->files);
    struct rlimit own = agent->files;
    if (own.rlim_cur < FILES_MAX)
        own.rlim_cur = own.rlim_max < FILES_MAX ? own.rlim_max : FILES_MAX;
    setrlimit(RLIMIT_NOFILE, &own);
}

/* Tell whether a stream is to be served without an event, and can be. */
static bool has_unsent(const struct agent *agent)
{
    const struct streams *streams = &agent->streams;
    return (streams->ending.first || streams->reading.first) && carrier_room(agent);
}

static int timeout(const struct agent *agent)
{
    if (carrier_waits(agent) || has_unsent(agent))
        return 0;
    if (agent->streams.watching.first)
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

/* Serve the streams of a set, each in turn, while there is room in the carrier. */
static void serve_ready(struct agent *agent, int set, bool (*has_room)(const struct agent *agent))
{
    struct readiness ready;
    for (int i = 0; i < SERVED_MAX && has_room(agent) && watch_next(set, &ready); i++) {
        struct stream *stream = stream_find(agent, ready.stream);
        if (stream)
            stream_serve(agent, stream, ready.end);
    }
}

/* Serve the streams whose process has ended. One that has no credit leaves the list; CREDIT brings
 * it back. */
static void serve_ending(struct agent *agent)
{
    struct stream *stream;
    while (carrier_room(agent) && (stream = agent->streams.ending.first)) {
        stream_settle(agent, stream);
        if (stream->id && carrier_room(agent))
            stream_list(stream, NULL);
    }
}

/* Serve the readers of sessions, each in turn. One without more, or without credit, leaves the list;
 * output or CREDIT brings it back. */
static void serve_reading(struct agent *agent)
{
    struct stream *stream;
    for (int i = 0; i < SERVED_MAX && carrier_room(agent); i++) {
        if (!(stream = agent->streams.reading.first))
            return;
        stream_list(stream, NULL);
        if (attach_serve(agent, stream))
            stream_list(stream, &agent->streams.reading);
    }
}

/* Read the output of sessions, whether or not there is a host. */
static void serve_sessions(struct agent *agent)
{
    struct readiness ready;
    for (int i = 0; i < SERVED_MAX && watch_next(agent->sessions.ready, &ready); i++)
        session_serve(agent, &ready);
}

static void take_signals(struct agent *agent)
{
    struct signalfd_siginfo info;
    while (read(agent->signals, &info, sizeof info) > 0)
        ;
    reap(agent);
    sessions_reap(agent);
}

enum { CARRIER, LISTENER, SIGNALS, SINKS, SOURCES, OUTPUTS, POLLS };

static void turn(struct agent *agent)
{
    struct pollfd polls[POLLS] = {
        [CARRIER] = carrier_poll(agent),
        [LISTENER] = {agent->carrier.listener, POLLIN, 0},
        [SIGNALS] = {agent->signals, POLLIN, 0},
        [SINKS] = {carrier_reads(agent) ? agent->sinks : -1, POLLIN, 0},
        [SOURCES] = {carrier_room(agent) ? agent->sources : -1, POLLIN, 0},
        [OUTPUTS] = {agent->sessions.ready, POLLIN, 0},
    };
    if (poll(polls, POLLS, timeout(agent)) < 0 && errno != EINTR)
        say("poll: errno %d", errno);
    if (polls[SIGNALS].revents)
        take_signals(agent);
    serve_ending(agent);
    if (polls[OUTPUTS].revents)
        serve_sessions(agent);
    serve_reading(agent);
    if (polls[SINKS].revents)
        serve_ready(agent, agent->sinks, carrier_reads);
    if (polls[SOURCES].revents)
        serve_ready(agent, agent->sources, carrier_room);
    listeners_look(agent);
    carrier_serve(agent, polls[CARRIER].revents, polls[LISTENER].revents != 0);
    carrier_flush(agent);
    cgroups_settle(&agent->cgroups);
    streams_free(agent);
}

static bool start(struct agent *agent)
{
    raise_files(agent);
    streams_init(&agent->streams);
    agent->pool.left = WINDOW_POOL;
    agent->signals = open_signals();
    agent->sinks = epoll_create1(EPOLL_CLOEXEC);
    agent->sources = epoll_create1(EPOLL_CLOEXEC);
    agent->carrier.out = malloc(OUT_SIZE);
    frame_skip(&agent->carrier.parser);
    return sessions_init(&agent->sessions) >= 0 && agent->signals >= 0 && agent->sinks >= 0 && agent->sources >= 0 && agent->carrier.out;
}

/* Serve until the host is gone for good (a descriptor) or the machine is off. */
void agent_run(struct agent *agent)
{
    if (!start(agent)) {
        say("cannot start: errno %d", errno);
        return;
    }
    while (!agent->quit) {
        turn(agent);
        if (agent->power_off && agent->carrier.out_start == agent->carrier.out_end)
            power_off(agent);
    }
    streams_drop(agent);
    sessions_drop(agent);
    streams_free(agent);
    free(agent->pool.spare);
    free(agent->carrier.out);
    close(agent->signals);
    close(agent->sinks);
    close(agent->sources);
}
