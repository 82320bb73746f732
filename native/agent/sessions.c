/* The output of every session is read whenever there is some, into its ring: no program ever waits
 * for a host. A program that floods costs the time to read it and the memory of one ring.
 *
 * A session ends with its program, after what its pipes hold then. Processes that it leaves behind
 * live on, as those of EXEC do; what they write is kept as well, until they have closed it. */
#include "sessions.h"

#include "agent.h"
#include "attach.h"
#include "program.h"
#include "say.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { PTY_HOLDS = 131072, SESSION_TTY = 1, SESSION_STDIN = 2 };

int sessions_init(struct sessions *sessions)
{
    ring_pool_init(&sessions->pool);
    sessions->ready = epoll_create1(EPOLL_CLOEXEC);
    return sessions->ready;
}

static int64_t now_ns(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* --- the table ---------------------------------------------------------------- */

static struct session *find_name(struct agent *agent, const char *name)
{
    for (size_t i = 0; i < agent->sessions.count; i++)
        if (strcmp(agent->sessions.all[i]->name, name) == 0)
            return agent->sessions.all[i];
    return NULL;
}

/* Returns NULL, with the failure, unless the request has one NAME that a session can have. */
static const char *require_name(const struct request *request, struct failure *failure)
{
    const char *name = request->names.count == 1 ? request->names.items[0] : "";
    if (*name && strlen(name) <= SESSION_NAME)
        return name;
    fail(failure, "bad-request", 0, "NAME is not of 1 to %d bytes", SESSION_NAME);
    return NULL;
}

struct session *session_find(struct agent *agent, const struct request *request,
                             struct failure *failure)
{
    const char *name = require_name(request, failure);
    struct session *session = name ? find_name(agent, name) : NULL;
    if (name && !session)
        fail(failure, "not-found", 0, "there is no session %s", name);
    return session;
}

static void stop_output(struct agent *agent, struct session *session, int index)
{
    if (session->watched[index])
        epoll_ctl(agent->sessions.ready, EPOLL_CTL_DEL, session->out[index], NULL);
    session->watched[index] = false;
}

static void close_output(struct agent *agent, struct session *session, int index)
{
    stop_output(agent, session, index);
    if (session->out[index] >= 0)
        close(session->out[index]);
    session->out[index] = -1;
}

static void close_input(struct session *session)
{
    if (session->in >= 0)
        close(session->in);
    session->in = -1;
}

/* Forget a session whose program has ended, or has never run. */
static void forget(struct agent *agent, struct session *session)
{
    struct sessions *sessions = &agent->sessions;
    attached_deleted(agent, session);
    for (size_t i = 0; i < sessions->count; i++)
        if (sessions->all[i] == session) {
            sessions->count--;
            memmove(sessions->all + i, sessions->all + i + 1,
                    (sessions->count - i) * sizeof *sessions->all);
        }
    close_input(session);
    close_output(agent, session, 0);
    close_output(agent, session, 1);
    ring_close(&session->ring);
    free(session);
}

/* Find room for one more: the session that was started first of those that have ended makes it. */
static int make_room(struct agent *agent, struct failure *failure)
{
    struct sessions *sessions = &agent->sessions;
    if (sessions->count < SESSIONS)
        return 0;
    for (size_t i = 0; i < SESSIONS; i++)
        if (!sessions->all[i]->pid && !sessions->all[i]->attachments) {
            forget(agent, sessions->all[i]);
            return 0;
        }
    return fail(failure, "too-many-sessions", 0, "%d sessions run", SESSIONS);
}

/* Keep the words of the command, as far as there is room for them. */
static void keep_command(struct session *session, const struct list *args)
{
    for (size_t i = 0; i < args->count && session->command_size < COMMAND_MAX; i++) {
        size_t room = COMMAND_MAX - session->command_size - 1;
        size_t size = strlen(args->items[i]) < room ? strlen(args->items[i]) : room;
        memcpy(session->command + session->command_size, args->items[i], size);
        session->command_size += size + 1; /* its NUL is there: calloc */
    }
}

static struct session *add(struct agent *agent, const char *name, const struct request *request)
{
    struct session *session = calloc(1, sizeof *session);
    if (!session || ring_open(&session->ring, &agent->sessions.pool)) {
        free(session);
        return NULL;
    }
    strcpy(session->name, name);
    session->number = ++agent->sessions.last;
    session->in = session->out[0] = session->out[1] = -1;
    session->started_ns = now_ns();
    keep_command(session, &request->args);
    agent->sessions.all[agent->sessions.count++] = session;
    return session;
}

/* --- output ------------------------------------------------------------------- */

static void watch_output(struct agent *agent, struct session *session, int index)
{
    struct epoll_event event = {.events = EPOLLIN,
                                .data.u64 = (uint64_t)session->number * ENDS + END_OUT_1 +
                                            (unsigned)index};
    if (session->out[index] < 0 || session->watched[index])
        return;
    if (epoll_ctl(agent->sessions.ready, EPOLL_CTL_ADD, session->out[index], &event))
        say("the output of session %s is lost: %s", session->name, strerror(errno));
    else
        session->watched[index] = true;
}

/* Returns how many bytes were there to read; 0: none now, or never any more. */
static size_t read_output(struct agent *agent, struct session *session, int index)
{
    size_t room;
    if (session->out[index] < 0)
        return 0;
    uint8_t *at = ring_reserve(&session->ring, (uint8_t)(index + 1), now_ns(), &room);
    ssize_t n = read(session->out[index], at, room);
    if (n > 0) {
        ring_commit(&session->ring, (size_t)n);
        return (size_t)n;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (session->is_tty && session->pid)
        stop_output(agent, session, index); /* closing it would hang up the program */
    else
        close_output(agent, session, index);
    return 0;
}

void session_serve(struct agent *agent, const struct readiness *ready)
{
    struct session **all = agent->sessions.all;
    for (size_t i = 0; i < agent->sessions.count; i++)
        if (all[i]->number == ready->stream &&
            read_output(agent, all[i], ready->end == END_OUT_1 ? 0 : 1))
            attached_output(agent, all[i]);
}

/* Read what the pipe or terminal holds now, and no more: others may still write. */
static void drain(struct agent *agent, struct session *session, int index)
{
    int held = PTY_HOLDS;
    if (!session->is_tty && session->out[index] >= 0)
        ioctl(session->out[index], FIONREAD, &held);
    for (size_t n, left = (size_t)held; left && (n = read_output(agent, session, index));)
        left -= n < left ? n : left;
    watch_output(agent, session, index);
}

/* --- the end ------------------------------------------------------------------ */

void session_end_input(struct session *session)
{
    struct termios termios;
    if (!session->is_tty)
        close_input(session);
    else if (tcgetattr(session->in, &termios) ||
             write(session->in, &termios.c_cc[VEOF], 1) < 0)
        say("the terminal of session %s takes no end of file: errno %d", session->name, errno);
}

static void end(struct agent *agent, struct session *session, int status)
{
    session->pid = 0;
    session->status = status;
    session->ended_ns = now_ns();
    close_input(session);
    drain(agent, session, 0);
    drain(agent, session, 1);
    session->ended_at = session->ring.end;
    if (session->cgroup)
        cgroup_release(&agent->cgroups, session->cgroup);
    session->cgroup = NULL;
    attached_end(agent, session);
}

void sessions_reap(struct agent *agent)
{
    for (size_t i = 0; i < agent->sessions.count; i++) {
        int status;
        struct session *session = agent->sessions.all[i];
        if (session->pid && waitpid(session->pid, &status, WNOHANG) == session->pid)
            end(agent, session, status);
    }
}

void session_signal(const struct session *session, int number)
{
    if (!session->pid)
        return;
    if (number == SIGKILL && session->cgroup)
        cgroup_kill(session->cgroup);
    kill(-session->pid, number);
}

void sessions_drop(struct agent *agent)
{
    while (agent->sessions.count) {
        struct session *session = agent->sessions.all[0];
        session_signal(session, SIGKILL);
        forget(agent, session);
    }
    close(agent->sessions.ready);
}

/* --- what the host is told ---------------------------------------------------- */

void put_session_exit(struct writer *writer, const struct session *session)
{
    if (WIFSIGNALED(session->status))
        put_number(writer, TAG_SIGNAL, (uint64_t)WTERMSIG(session->status));
    else
        put_number(writer, TAG_STATUS, (uint64_t)WEXITSTATUS(session->status));
}

static uint64_t count_readers(const struct session *session)
{
    uint64_t count = 0;
    for (const struct attachment *each = session->attachments; each; each = each->next)
        count += each->reads;
    return count;
}

static void put_words(struct writer *writer, const struct session *session)
{
    for (size_t at = 0; at < session->command_size;
         at += strlen(session->command + at) + 1)
        put_text(writer, TAG_ARG, session->command + at);
}

bool put_session(struct writer *writer, const struct session *session)
{
    static uint8_t bytes[COMMAND_MAX * 7 + 1024]; /* words of no bytes have headers of 6 */
    struct writer nested = {bytes, 0, sizeof bytes, false};
    put_text(&nested, TAG_NAME, session->name);
    put_number(&nested, TAG_FLAGS, (session->is_tty ? SESSION_TTY : 0u) |
                                       (session->in >= 0 ? SESSION_STDIN : 0u));
    put_number(&nested, TAG_STARTED_NS, (uint64_t)session->started_ns);
    put_number(&nested, TAG_OFFSET, ring_start(&session->ring));
    put_number(&nested, TAG_SIZE, session->ring.end);
    put_number(&nested, TAG_READERS, count_readers(session));
    if (session->pid) {
        put_number(&nested, TAG_PID, (uint64_t)session->pid);
    } else {
        put_number(&nested, TAG_ENDED_NS, (uint64_t)session->ended_ns);
        put_session_exit(&nested, session);
    }
    put_words(&nested, session);
    size_t before = writer->size;
    put_bytes(writer, TAG_SESSION, nested.at, nested.size);
    return writer->size > before;
}

/* --- requests ----------------------------------------------------------------- */

/* SESSION_START */
int session_start(struct agent *agent, const struct request *request, struct writer *result,
                  struct failure *failure)
{
    struct program program;
    const char *name = require_name(request, failure);
    if (!name)
        return -1;
    if (find_name(agent, name))
        return fail(failure, "exists", 0, "there is a session %s already", name);
    if (make_room(agent, failure))
        return -1;
    struct session *session = add(agent, name, request);
    if (!session)
        return fail(failure, "no-memory", 0, "no memory for the session");
    if (program_start(agent, request, request->flags, &program, failure)) {
        forget(agent, session);
        return -1;
    }
    session->pid = program.pid;
    session->cgroup = program.cgroup;
    session->is_tty = program.is_tty;
    session->in = program.in;
    for (int c = 0; c < 2; c++) {
        session->out[c] = program.out[c];
        watch_output(agent, session, c);
    }
    put_session(result, session);
    return 0;
}

/* SESSION_LIST: as many as fit; if there are more, NUMBER is where to go on. */
int session_list(struct agent *agent, const struct request *request, struct writer *result,
                 struct failure *failure)
{
    if (request->present[TAG_NAME]) {
        const struct session *session = session_find(agent, request, failure);
        return session && put_session(result, session) ? 0 : -1;
    }
    const size_t limit = result->limit;
    result->limit = limit - 32; /* room for NUMBER */
    for (size_t i = 0; i < agent->sessions.count; i++) {
        const struct session *session = agent->sessions.all[i];
        if (session->number <= request->number || put_session(result, session))
            continue;
        result->limit = limit;
        put_number(result, TAG_NUMBER, agent->sessions.all[i - 1]->number);
        break;
    }
    result->limit = limit;
    return 0;
}

/* SESSION_SIGNAL */
int session_send_signal(struct agent *agent, const struct request *request,
                        struct failure *failure)
{
    const struct session *session = session_find(agent, request, failure);
    if (!session)
        return -1;
    if (request->signal < 1 || request->signal > 64)
        return fail(failure, "bad-request", 0, "SIGNAL is not of 1 to 64");
    if (!session->pid)
        return fail(failure, "ended", 0, "the session has ended");
    session_signal(session, (int)request->signal);
    return 0;
}

/* SESSION_DELETE */
int session_delete(struct agent *agent, const struct request *request, struct failure *failure)
{
    struct session *session = session_find(agent, request, failure);
    if (!session)
        return -1;
    if (session->pid)
        return fail(failure, "running", 0, "the session runs");
    forget(agent, session);
    return 0;
}
