/* CHANGES: a record for each change below PATH to standard output, until PATH is gone. Runs as a
 * worker (worker.c), which ends with its stream. Each directory has a watch of the kernel's; its
 * queue is bounded; what was lost while the host did not read is told as missed, and the tree is
 * watched anew. Follows no link below PATH. What is made in a new directory before that is watched may be told twice. */
#include "files.h"
#include "frame.h"
#include "jobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD = 8, BUFFER = 65536, MORE = 256 };
enum change { READY, CREATED, MODIFIED, DELETED, MISSED };

#define APPEARS (IN_CREATE | IN_MOVED_TO)
#define VANISHES (IN_DELETE | IN_MOVED_FROM)
#define WATCHED (APPEARS | VANISHES | IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_ONLYDIR)

/* A directory: `name` is relative to PATH. Later ones have higher numbers. */
struct directory {
    int watch;
    char *name;
};

/* A process has one. `pending`: directories that are yet to be visited. */
static struct {
    const char *path;
    struct failure *failure;
    struct directory *directories;
    char **pending;
    size_t count, room, waiting;
    int queue;
} tree;

static int put(enum change change, const char *name)
{
    uint8_t record[RECORD];
    size_t size = strlen(name);
    put_u32(record, (uint32_t)size);
    put_u32(record + 4, change);
    return fwrite(record, RECORD, 1, stdout) == 1 && fwrite(name, 1, size, stdout) == size
               ? 0
               : fail(tree.failure, "io", errno, "send");
}

static struct directory *find(int watch)
{
    size_t low = 0, high = tree.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (tree.directories[middle].watch < watch)
            low = middle + 1;
        else
            high = middle;
    }
    return low < tree.count && tree.directories[low].watch == watch ? tree.directories + low : NULL;
}

static void forget(struct directory *directory)
{
    size_t after = tree.count - (size_t)(directory - tree.directories) - 1;
    free(directory->name);
    memmove(directory, directory + 1, after * sizeof *directory);
    tree.count--;
}

/* Watch no more what is below a directory that was moved away, nor itself. */
static void forget_tree(const char *name)
{
    size_t size = strlen(name), kept = 0;
    for (size_t i = 0; i < tree.count; i++) {
        struct directory each = tree.directories[i];
        if (strncmp(each.name, name, size) || (each.name[size] && each.name[size] != '/')) {
            tree.directories[kept++] = each;
            continue;
        }
        inotify_rm_watch(tree.queue, each.watch);
        free(each.name);
    }
    tree.count = kept;
}

static int keep(int watch, const char *name)
{
    struct directory *known = find(watch);
    char *copy = strdup(name);
    if (copy && known) {
        free(known->name);
        known->name = copy;
        return 0;
    }
    if (copy && tree.count == tree.room) {
        size_t room = tree.room + MORE;
        void *grown = realloc(tree.directories, room * sizeof *tree.directories);
        if (grown) {
            tree.directories = grown;
            tree.room = room;
        }
    }
    if (!copy || tree.count == tree.room) {
        free(copy);
        return fail(tree.failure, "no-memory", 0, "no memory to watch %.128s", name);
    }
    tree.directories[tree.count++] = (struct directory){watch, copy};
    return 0;
}

/* Returns NULL, with a failure, if there is no memory. */
static char *join(const char *above, const char *name)
{
    char *path = NULL;
    bool slash = *above && *name && above[strlen(above) - 1] != '/';
    if (asprintf(&path, "%s%s%s", above, slash ? "/" : "", name) >= 0)
        return path;
    fail(tree.failure, "no-memory", 0, "no memory to watch %.128s", name);
    return NULL;
}

/* Tell whether the kernel makes up what is in a directory: nothing is told of that. */
static bool is_made_up(const char *path, int fd)
{
    return !strcmp(path, "/dev") || is_kernels(fd);
}

/* Returns 1 if it is gone, or has become something else, since it was seen. */
static int watch_directory(const char *path, const char *name)
{
    int watch = inotify_add_watch(tree.queue, path, WATCHED | IN_DONT_FOLLOW);
    if (watch >= 0)
        return keep(watch, name);
    if (errno != ENOSPC && errno != ENOMEM)
        return 1;
    return fail(tree.failure, "io", errno, "watch %.128s", path);
}

static bool is_directory(DIR *above, const struct dirent *entry)
{
    struct stat found;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return !fstatat(dirfd(above), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) &&
           S_ISDIR(found.st_mode);
}

static int push(char *name)
{
    if ((tree.waiting & (tree.waiting + 1)) == 0) {
        char **grown = realloc(tree.pending, (2 * tree.waiting + 2) * sizeof *grown);
        if (!grown)
            return fail(tree.failure, "no-memory", 0, "no memory to watch %.128s", name);
        tree.pending = grown;
    }
    tree.pending[tree.waiting++] = name;
    return 0;
}

static int see(DIR *above, const char *directory, const struct dirent *entry, bool telling)
{
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
        return 0;
    char *name = join(directory, entry->d_name);
    if (!name || (telling && put(CREATED, name)))
        return -1;
    if (is_directory(above, entry))
        return push(name);
    free(name);
    return 0;
}

/* Watch a directory before what is in it is read, so that nothing is missed. */
static int visit(const char *name, bool telling)
{
    char *path = join(tree.path, name);
    int fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    int outcome = !path ? -1 : fd < 0 || is_made_up(path, fd) ? 1 : watch_directory(path, name);
    DIR *directory = outcome ? NULL : fdopendir(fd);
    free(path);
    if (!directory) {
        close(fd);
        return outcome < 0 ? -1 : 0;
    }
    for (struct dirent *entry; !outcome && (entry = readdir(directory));)
        outcome = see(directory, name, entry, telling);
    closedir(directory);
    return outcome;
}

/* Watch the directories at and below a name; tell what is below it if that is new. */
static int walk(const char *name, bool telling)
{
    char *next = join("", name);
    int outcome = next ? push(next) : -1;
    while (!outcome && tree.waiting) {
        next = tree.pending[--tree.waiting];
        outcome = visit(next, telling);
        free(next);
    }
    return outcome;
}

static int take_entry(const struct directory *directory, const struct inotify_event *event)
{
    char *name = join(directory->name, event->name);
    enum change change = event->mask & APPEARS    ? CREATED
                         : event->mask & VANISHES ? DELETED
                                                  : MODIFIED;
    int outcome = name ? put(change, name) : -1;
    if (!outcome && event->mask & IN_ISDIR && change == CREATED)
        outcome = walk(name, true);
    if (!outcome && event->mask & IN_ISDIR && event->mask & IN_MOVED_FROM)
        forget_tree(name);
    free(name);
    return outcome;
}

/* As those below: returns 1 when PATH is gone, -1 for a failure. */
static int tell_end(void)
{
    return put(DELETED, "") ? -1 : 1;
}

/* Watch the tree as it is now, with a queue in which nothing waits. */
static int watch_tree(void)
{
    while (tree.count)
        free(tree.directories[--tree.count].name);
    tree.queue = inotify_init1(IN_CLOEXEC);
    return tree.queue < 0 ? fail(tree.failure, "io", errno, "watch files") : walk("", false);
}

/* What was lost may have moved or removed any directory, also PATH. */
static int watch_anew(void)
{
    close(tree.queue);
    if (watch_tree() || put(MISSED, ""))
        return -1;
    return tree.count ? 0 : tell_end();
}

static int take(const struct inotify_event *event)
{
    struct directory *directory = find(event->wd);
    if (!directory)
        return 0;
    if (!*directory->name && event->mask & (IN_MOVE_SELF | IN_IGNORED))
        return tell_end();
    if (event->mask & IN_IGNORED)
        forget(directory);
    return event->len ? take_entry(directory, event) : 0;
}

static int follow(void)
{
    static char buffer[BUFFER] __attribute__((aligned(__alignof__(struct inotify_event))));
    int outcome = 0;
    while (!outcome) {
        struct pollfd ends[2] = {{.fd = tree.queue, .events = POLLIN}, {.fd = STDOUT_FILENO}};
        if (fflush(stdout) || poll(ends, 2, -1) < 0 || ends[1].revents)
            return fail(tree.failure, "io", errno, "send"); /* or the agent has ended */
        ssize_t size = read(tree.queue, buffer, sizeof buffer);
        if (size < 0)
            return fail(tree.failure, "io", errno, "read what changed");
        for (ssize_t at = 0; !outcome && at < size;) {
            const struct inotify_event *event = (const void *)(buffer + at);
            at += (ssize_t)(sizeof *event + event->len);
            if (event->mask & IN_Q_OVERFLOW) {
                outcome = watch_anew();
                break; /* the rest is of the queue before */
            }
            outcome = take(event);
        }
    }
    return outcome;
}

int tell_changes(int disk, const struct request *request, struct writer *result,
                 struct failure *failure)
{
    (void)disk, (void)result;
    char *path = realpath(request->path, NULL);
    if (!path)
        return fail(failure, errno == ENOENT || errno == ENOTDIR ? "not-found" : "io", errno,
                    "look at %.128s", request->path);
    int top = open(path, O_PATH | O_CLOEXEC);
    if (is_made_up(path, top))
        return fail(failure, "kernel-files", 0, "the kernel makes up what is in %.128s", path);
    close(top);
    tree.path = path;
    tree.failure = failure;
    if (watch_tree())
        return -1;
    if (!tree.count)
        return fail(failure, "not-found", ENOTDIR, "watch %.128s", request->path);
    if (put(READY, "") || follow() < 0)
        return -1;
    return fflush(stdout) ? fail(failure, "io", errno, "send") : 0;
}
