/* Everything about a program before its first instruction: user, environment, pipes or a terminal,
 * control group, and the child process that executes it. Who reads its output and waits for its end
 * is the caller's business: a stream (exec.c), a session (sessions.c), or nobody. */
#include "program.h"

#include "agent.h"
#include "files.h"
#include "modes.h"
#include "supervise.h"
#include "term.h"
#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

enum step { STEP_USER, STEP_DIRECTORY, STEP_PROGRAM };

/* Everything the child needs, prepared before the fork: the child shares the agent's memory until
 * it executes (vfork), so it only makes system calls. A supervisor shares this memory, too. */
struct plan {
    char **args, **env;
    const char *directory; /* NULL: the home, else / */
    char path[PATH_MAX];   /* the PATH to search for the program */
    char candidate[2 * PATH_MAX];
    struct user user;
    struct rlimit files; /* of descriptors, which the agent has raised for itself */
    bool tty;
    struct cgroup *cgroup; /* NULL: none */
    int stdio[3];
    int far[4], near[4]; /* ends of the pipes: the program's (and /dev/null), the agent's; -1 */
    enum step step;      /* the failed step, and its errno (0: success) */
    int error;
};

/* --- environment -------------------------------------------------------------- */

static bool same_name(const char *one, const char *other)
{
    size_t n = strcspn(one, "=");
    return strncmp(one, other, n) == 0 && other[n] == '=';
}

/* Add `NAME=value`, unless the request sets NAME itself. Returns -1 if out of memory. */
static int add_default(struct list *env, size_t given, const char *name, const char *value)
{
    char *text;
    if (asprintf(&text, "%s=%s", name, value) < 0)
        return -1;
    for (size_t i = 0; i < given; i++)
        if (same_name(text, env->items[i])) {
            free(text);
            return 0;
        }
    env->items[env->count++] = text;
    env->items[env->count] = NULL;
    return 0;
}

enum { DEFAULTS = 6 };

/* The request's variables first (the last of equal names wins), then the defaults. */
static int make_environment(const struct request *request, const struct user *user,
                            struct list *env)
{
    env->count = 0;
    env->items = calloc(request->env.count + DEFAULTS + 1, sizeof *env->items);
    if (!env->items)
        return -1;
    for (size_t i = 0; i < request->env.count; i++) {
        bool again = false;
        for (size_t j = i + 1; j < request->env.count && !again; j++)
            again = same_name(request->env.items[i], request->env.items[j]);
        if (!again)
            env->items[env->count++] = request->env.items[i];
    }
    size_t given = env->count;
    return add_default(env, given, "PATH", default_path) |
           add_default(env, given, "HOME", user->home) |
           add_default(env, given, "USER", user->name) |
           add_default(env, given, "LOGNAME", user->name) |
           add_default(env, given, "SHELL", user->shell) |
           add_default(env, given, "LANG", "C.UTF-8");
}

static void free_environment(const struct request *request, struct list *env)
{
    for (size_t i = 0; i < env->count; i++) {
        bool ours = true;
        for (size_t j = 0; j < request->env.count && ours; j++)
            ours = env->items[i] != request->env.items[j];
        if (ours)
            free(env->items[i]);
    }
    free(env->items);
}

static int check_environment(const struct request *request, struct failure *failure)
{
    for (size_t i = 0; i < request->env.count; i++) {
        const char *text = request->env.items[i];
        if (*text == '=' || !strchr(text, '='))
            return fail(failure, "bad-request", 0, "ENV is not NAME=value: %.64s", text);
    }
    return 0;
}

/* --- pipes and terminals ------------------------------------------------------ */

static void close_ends(const int *ends)
{
    for (int i = 0; i < 4; i++)
        if (ends[i] >= 0)
            close(ends[i]);
}

static int open_pipes(struct plan *plan, bool with_stdin)
{
    for (int i = with_stdin ? 0 : 1; i < 3; i++) {
        int ends[2];
        if (open_pipe(ends))
            return -1;
        plan->far[i] = ends[i != 0];
        plan->near[i] = ends[i == 0];
        set_nonblocking(plan->near[i]);
        plan->stdio[i] = plan->far[i];
    }
    return 0;
}

void program_resize(int terminal, const struct request *request)
{
    struct winsize size = {0};
    ioctl(terminal, TIOCGWINSZ, &size);
    if (request->present[TAG_ROWS])
        size.ws_row = (unsigned short)request->rows;
    if (request->present[TAG_COLUMNS])
        size.ws_col = (unsigned short)request->columns;
    ioctl(terminal, TIOCSWINSZ, &size);
}

static int open_master(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (master >= 0 || geteuid() != 0)
        return master;
    /* devpts is not mounted: the image's init does not mount it, or has not yet. */
    mkdir("/dev/pts", 0755);
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=620,gid=5,ptmxmode=666");
    return posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

static int open_terminal(struct plan *plan, const struct request *request)
{
    int unlocked = 0, number;
    char name[32];
    int master = plan->near[0] = open_master();
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) || ioctl(master, TIOCGPTN, &number))
        return -1;
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    plan->far[0] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    plan->near[1] = fcntl(master, F_DUPFD_CLOEXEC, 3);
    if (plan->far[0] < 0 || plan->near[1] < 0)
        return -1;
    if (geteuid() == 0 && fchown(plan->far[0], plan->user.uid, (gid_t)-1))
        return -1;
    program_resize(master, request);
    if (request->present[TAG_MODES] && set_modes(plan->far[0], &request->modes))
        return -1;
    plan->stdio[0] = plan->stdio[1] = plan->stdio[2] = plan->far[0];
    return 0;
}

/* Open the output of a program that no client reads: the console, which the host logs. */
static int open_log(const struct agent *agent)
{
    if (!agent->is_guest)
        return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    return open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
}

static int open_stdio(const struct agent *agent, struct plan *plan, const struct request *request,
                      uint64_t flags, struct failure *failure)
{
    int failed = 0;
    int null = plan->far[3] = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return fail(failure, "io", errno, "open /dev/null");
    for (int i = 0; i < 3; i++)
        plan->stdio[i] = null;
    if (flags & PROGRAM_SUPERVISE) {
        plan->stdio[1] = plan->stdio[2] = plan->far[1] = open_log(agent);
        failed = plan->far[1] < 0;
    } else if (flags & PROGRAM_TTY)
        failed = open_terminal(plan, request);
    else if (!(flags & PROGRAM_DETACH))
        failed = open_pipes(plan, flags & PROGRAM_STDIN);
    return failed ? fail(failure, "io", errno, "open the program's pipes or terminal") : 0;
}

/* --- the child ---------------------------------------------------------------- */

static int enter_directory(const struct plan *plan)
{
    if (plan->directory)
        return chdir(plan->directory);
    return chdir(plan->user.home) && chdir("/") ? -1 : 0;
}

/* Execute the program; return the most useful error: failing to execute a program that was found
 * takes precedence over not finding any. */
static int execute(struct plan *plan)
{
    int error = ENOENT;
    const char *name = plan->args[0];
    if (strchr(name, '/')) {
        execve(name, plan->args, plan->env);
        return errno;
    }
    for (const char *at = plan->path; *name;) {
        size_t n = strcspn(at, ":");
        memcpy(plan->candidate, at, n);
        if (n)
            plan->candidate[n++] = '/';
        strcpy(plan->candidate + n, name);
        execve(plan->candidate, plan->args, plan->env);
        if (errno != ENOENT && errno != ENOTDIR)
            error = errno;
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            return error;
        at += strcspn(at, ":");
        if (!*at++)
            return error;
    }
    return error;
}

static void child(struct plan *plan)
{
    sigset_t none;
    sigemptyset(&none);
    setsid();
    if (plan->tty)
        ioctl(plan->stdio[0], TIOCSCTTY, 0);
    for (int i = 0; i < 3; i++)
        dup2(plan->stdio[i], i);
    syscall(SYS_close_range, 3u, ~0u, 0u); /* older kernels: the agent's are all close-on-exec */
    setrlimit(RLIMIT_NOFILE, &plan->files);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    plan->step = STEP_USER;
    if (become(&plan->user) == 0) {
        plan->step = STEP_DIRECTORY;
        if (enter_directory(plan) == 0) {
            plan->step = STEP_PROGRAM;
            plan->error = execute(plan);
            return;
        }
    }
    plan->error = errno;
}

/* Start the child; return when it has executed its program, or failed. */
static __attribute__((noinline)) pid_t spawn(struct plan *volatile plan)
{
    plan->error = 0;
    pid_t pid = plan->cgroup ? cgroup_fork(plan->cgroup) : -1;
    if (pid < 0)
        pid = vfork();
    if (pid == 0) {
        child(plan);
        _exit(127);
    }
    return pid;
}

static pid_t respawn(void *program)
{
    struct plan *plan = program;
    for (int i = 0; i < 3; i++)
        plan->stdio[i] = i;
    pid_t pid = spawn(plan);
    if (pid < 0) {
        plan->step = STEP_PROGRAM;
        plan->error = errno;
    } else if (plan->error) {
        waitpid(pid, NULL, 0);
    }
    return plan->error ? -1 : pid;
}

static int explain(const struct plan *plan, struct failure *failure)
{
    int error = plan->error;
    const char *name = plan->args[0];
    if (plan->step == STEP_USER)
        return fail(failure, "io", error, "become user %s", plan->user.name);
    if (plan->step == STEP_DIRECTORY)
        return fail(failure, "bad-directory", error, "enter %.128s",
                    plan->directory ? plan->directory : "/");
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        return fail(failure, "not-found", error, "run %.128s", name);
    case E2BIG:
    case ENOMEM:
    case EIO:
    case ENFILE:
    case EAGAIN:
        return fail(failure, "io", error, "run %.128s", name);
    default:
        return fail(failure, "not-executable", error, "run %.128s", name);
    }
}

/* --- the start ---------------------------------------------------------------- */

static int check_request(const struct request *request, struct failure *failure)
{
    if (request->modes.size % MODE_SIZE)
        return fail(failure, "bad-request", 0, "MODES of %zu bytes", request->modes.size);
    if (request->cwd && *request->cwd != '/')
        return fail(failure, "bad-request", 0, "CWD is not absolute");
    if (strlen(request->args.items[0]) >= PATH_MAX)
        return fail(failure, "not-found", ENAMETOOLONG, "run a program");
    return check_environment(request, failure);
}

static void find_path(struct plan *plan)
{
    for (char **at = plan->env; *at; at++)
        if (strncmp(*at, "PATH=", 5) == 0)
            snprintf(plan->path, sizeof plan->path, "%s", *at + 5);
}

/* A detached program needs no control group, since it is never given up. */
static pid_t start(struct agent *agent, uint64_t flags, struct plan *plan)
{
    if (flags & PROGRAM_SUPERVISE)
        return supervise(respawn, plan, plan->args[0], plan->stdio);
    if (!(flags & PROGRAM_DETACH))
        plan->cgroup = cgroup_claim(&agent->cgroups);
    return spawn(plan);
}

static int run(struct agent *agent, const struct request *request, uint64_t flags,
               struct plan *plan, struct failure *failure)
{
    if (open_stdio(agent, plan, request, flags, failure)) {
        close_ends(plan->far);
        close_ends(plan->near);
        return -1;
    }
    pid_t pid = start(agent, flags, plan);
    int fork_error = pid < 0 ? errno : 0;
    close_ends(plan->far);
    if (pid > 0 && !plan->error)
        return pid;
    close_ends(plan->near);
    if (plan->cgroup)
        cgroup_release(&agent->cgroups, plan->cgroup);
    if (pid < 0)
        return fail(failure, "io", fork_error, "start a process");
    orphan_add(agent, pid);
    return explain(plan, failure);
}

static int run_with_environment(struct agent *agent, const struct request *request, uint64_t flags,
                                struct plan *plan, struct failure *failure)
{
    struct list env = {0};
    int outcome = -1;
    if (make_environment(request, &plan->user, &env) ||
        (plan->tty && settle_term(&env, plan->user.home))) {
        fail(failure, "no-memory", 0, "no memory for the environment");
    } else {
        plan->env = env.items;
        find_path(plan);
        outcome = run(agent, request, flags, plan, failure);
    }
    if (env.items)
        free_environment(request, &env);
    return outcome;
}

int program_start(struct agent *agent, const struct request *request, uint64_t flags,
                  struct program *program, struct failure *failure)
{
    if (check_request(request, failure))
        return -1;
    struct plan *plan = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (plan == MAP_FAILED)
        return fail(failure, "no-memory", 0, "no memory for the program");
    *plan = (struct plan){.args = request->args.items,
                          .directory = request->cwd,
                          .files = agent->files,
                          .tty = flags & PROGRAM_TTY,
                          .far = {-1, -1, -1, -1},
                          .near = {-1, -1, -1, -1}};
    int pid = find_user(request->user, &plan->user, failure);
    if (pid == 0)
        pid = run_with_environment(agent, request, flags, plan, failure);
    *program = (struct program){.pid = pid,
                                .is_tty = plan->tty,
                                .cgroup = plan->cgroup,
                                .in = plan->near[0],
                                .out = {plan->near[1], plan->near[2]}};
    munmap(plan, sizeof *plan);
    return pid < 0 ? -1 : 0;
}
