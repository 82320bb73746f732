/* TAR_OUT: pack a directory (or one file) as a PAX tar to standard output. Runs as a worker
 * (worker.c), so it may block. Names are sorted: equal trees give equal archives. */
#include "tar_pack.h"

#include "files.h"
#include "jobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* --- files with several names ------------------------------------------------- */

static struct seen *find_slot(const struct pack *pack, const struct stat *found)
{
    size_t mask = pack->seen_room - 1;
    size_t i = (size_t)(found->st_ino * 0x9E3779B97F4A7C15u >> 20) & mask;
    while (pack->seen[i].name &&
           (pack->seen[i].inode != found->st_ino || pack->seen[i].device != found->st_dev))
        i = (i + 1) & mask;
    return &pack->seen[i];
}

static int grow_seen(struct pack *pack)
{
    struct seen *old = pack->seen;
    size_t room = pack->seen_room;
    if (2 * pack->seen_count < room)
        return 0;
    pack->seen_room = room ? 2 * room : 256;
    pack->seen = calloc(pack->seen_room, sizeof *pack->seen);
    for (size_t i = 0; pack->seen && i < room; i++) {
        struct stat key = {.st_ino = old[i].inode, .st_dev = old[i].device};
        if (old[i].name)
            *find_slot(pack, &key) = old[i];
    }
    if (!pack->seen) {
        pack->seen = old;
        pack->seen_room = room;
        return fail(pack->failure, "no-memory", 0, "no memory for the hard links");
    }
    free(old);
    return 0;
}

/* Return the name under which this file is already packed, or NULL. */
static const char *find_first(const struct pack *pack, const struct stat *found)
{
    return found->st_nlink > 1 && pack->seen_count ? find_slot(pack, found)->name : NULL;
}

static int remember(struct pack *pack, const struct stat *found)
{
    if (found->st_nlink < 2)
        return 0;
    if (grow_seen(pack))
        return -1;
    struct seen *slot = find_slot(pack, found);
    if (slot->name)
        return 0;
    *slot = (struct seen){found->st_dev, found->st_ino, strdup(pack->name)};
    pack->seen_count += slot->name != NULL;
    return slot->name ? 0 : fail(pack->failure, "no-memory", 0, "no memory for the hard links");
}

/* --- the kernel's own state ---------------------------------------------------- */

/* The kernel's state is left out of a tree, but refused where it is what was asked for. */
static int refuse_kernels(struct pack *pack, int fd)
{
    return is_kernels(fd) ? fail(pack->failure, "kernel-files", 0, "the files are the kernel's") : 0;
}

/* Tell whether an entry of a tree is the kernel's; its header then says so. */
static bool is_left_out(struct pack *pack, int fd, const struct stat *found)
{
    if (found->st_dev != pack->device && is_kernels(fd))
        return add_comment(pack, "file system of the kernel") == 0;
    pack->device = found->st_dev;
    return false;
}

/* --- entries ------------------------------------------------------------------ */

static int pack_directory(struct pack *pack, int fd);

/* Programs run meanwhile: leave out files that were removed, or have become another type of file,
 * since they were listed. */
static int left_out(struct pack *pack, const char *what)
{
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EINVAL
               ? 0
               : broken(pack, what);
}

static int pack_file(struct pack *pack, int parent, const char *entry, struct stat *found)
{
    const char *first = find_first(pack, found);
    struct tar_header header = {.type = first ? '1' : '0'};
    if (first)
        return put_header(pack, &header, found, first);
    int fd = openat(parent, entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return left_out(pack, "open");
    int failed = fstat(fd, found) ? broken(pack, "look at") : 0;
    if (!failed && is_left_out(pack, fd, found)) {
        failed = put_header(pack, &header, found, NULL);
    } else if (!failed && S_ISREG(found->st_mode)) {
        uint64_t size = (uint64_t)found->st_size, offset = pack->offset < size ? pack->offset : size;
        header.size = size - offset;
        if (lseek(fd, (off_t)offset, SEEK_SET) < 0)
            failed = broken(pack, "go on in");
        failed = failed || remember(pack, found) || put_xattrs(pack, fd) ||
                 put_header(pack, &header, found, NULL) || put_content(pack, fd, header.size);
    }
    close(fd);
    return failed ? -1 : 0;
}

static int pack_symlink(struct pack *pack, int parent, const char *entry, const struct stat *found)
{
    char target[PATH_MAX];
    struct tar_header header = {.type = '2'};
    ssize_t n = readlinkat(parent, entry, target, sizeof target - 1);
    if (n < 0)
        return left_out(pack, "read the link");
    target[n] = 0;
    return put_header(pack, &header, found, target);
}

static int open_directory(const struct pack *pack, int parent, const char *entry)
{
    for (size_t i = 0; i < pack->native_count; i++)
        if (strcmp(pack->natives[i].name, pack->name) == 0)
            return openat(pack->natives[i].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return openat(parent, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Pack a directory, its own attributes first, and close its descriptor. */
static int pack_whole(struct pack *pack, int fd)
{
    struct stat found;
    struct tar_header header = {.type = '5'};
    size_t length = strlen(pack->name);
    pack->name[length] = '/';
    pack->name[length + 1] = 0;
    int failed = fstat(fd, &found) ? broken(pack, "look at") : 0;
    bool left_out = !failed && is_left_out(pack, fd, &found);
    failed = failed || (!left_out && put_xattrs(pack, fd)) || put_header(pack, &header, &found, NULL);
    if (!failed && !left_out)
        return pack_directory(pack, fd);
    close(fd);
    return failed ? -1 : 0;
}

static int pack_subdirectory(struct pack *pack, int parent, const char *entry)
{
    if (strlen(pack->name) + 2 > sizeof pack->name) {
        errno = ENAMETOOLONG;
        return broken(pack, "pack");
    }
    int fd = open_directory(pack, parent, entry);
    return fd < 0 ? left_out(pack, "open") : pack_whole(pack, fd);
}

/* Pack the entry whose full name is in `pack->name`. */
static int pack_entry(struct pack *pack, int parent, const char *entry)
{
    struct stat found;
    struct tar_header header = {0};
    if (fstatat(parent, entry, &found, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? 0 : broken(pack, "look at"); /* gone meanwhile */
    switch (found.st_mode & S_IFMT) {
    case S_IFREG:
        return pack_file(pack, parent, entry, &found);
    case S_IFDIR:
        return pack_subdirectory(pack, parent, entry);
    case S_IFLNK:
        return pack_symlink(pack, parent, entry, &found);
    case S_IFSOCK:
        return 0;
    default:
        header.type = S_ISCHR(found.st_mode) ? '3' : S_ISBLK(found.st_mode) ? '4' : '6';
        header.major = major(found.st_rdev);
        header.minor = minor(found.st_rdev);
        return put_header(pack, &header, &found, NULL);
    }
}

static int by_name(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

static int read_names(struct pack *pack, DIR *directory, struct list *names)
{
    errno = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if ((names->count & (names->count + 1)) == 0) {
            char **grown = realloc(names->items, (2 * names->count + 2) * sizeof *grown);
            if (!grown)
                return fail(pack->failure, "no-memory", 0, "no memory for a directory");
            names->items = grown;
        }
        if (!(names->items[names->count] = strdup(entry->d_name)))
            return fail(pack->failure, "no-memory", 0, "no memory for a directory");
        names->count++;
        errno = 0;
    }
    if (errno)
        return broken(pack, "read");
    if (names->count)
        qsort(names->items, names->count, sizeof *names->items, by_name);
    return 0;
}

/* Pack a directory's content and close its descriptor. `pack->name` is its name with a final slash
 * (or empty), and is restored afterwards. */
static int pack_directory(struct pack *pack, int fd)
{
    struct list names = {0};
    size_t length = strlen(pack->name);
    DIR *directory = fdopendir(fd);
    if (!directory) {
        close(fd);
        return broken(pack, "read");
    }
    int failed = read_names(pack, directory, &names);
    for (size_t i = 0; i < names.count; i++) {
        if (!failed && length + strlen(names.items[i]) >= sizeof pack->name) {
            errno = ENAMETOOLONG;
            failed = broken(pack, "pack");
        }
        if (!failed) {
            strcpy(pack->name + length, names.items[i]);
            failed = pack_entry(pack, dirfd(directory), names.items[i]);
            pack->name[length] = 0;
        }
        free(names.items[i]);
    }
    free(names.items);
    closedir(directory);
    return failed;
}

/* --- names -------------------------------------------------------------------- */

static bool is_safe(const char *name)
{
    for (const char *at = name; *at; at += *at == '/') {
        size_t n = strcspn(at, "/");
        if (n == 0 || (n <= 2 && strncmp(at, "..", n) == 0))
            return false;
        at += n;
    }
    return *name && strlen(name) < PATH_MAX;
}

/* Pack one name below the directory, without following links on the way. */
static int pack_name(struct pack *pack, int base, const char *name)
{
    if (!is_safe(name))
        return fail(pack->failure, "unsafe-path", 0, "%.160s is no plain name", name);
    int parent = fcntl(base, F_DUPFD_CLOEXEC, 3);
    const char *at = name;
    for (const char *slash; parent >= 0 && (slash = strchr(at, '/')); at = slash + 1) {
        char part[NAME_MAX + 1];
        snprintf(part, sizeof part, "%.*s", (int)(slash - at), at);
        int next = openat(parent, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int error = errno;
        close(parent);
        errno = error;
        parent = next;
    }
    snprintf(pack->name, sizeof pack->name, "%s", name);
    if (parent < 0)
        return errno == ENOTDIR || errno == ELOOP
                   ? fail(pack->failure, "unsafe-path", errno, "reach %.160s", name)
                   : broken(pack, "reach");
    int found = openat(parent, at, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int failed = found < 0 ? broken(pack, "find")
                           : refuse_kernels(pack, found) || pack_entry(pack, parent, at);
    close(found);
    close(parent);
    pack->name[0] = 0;
    return failed ? -1 : 0;
}

static int pack_path(struct pack *pack, const struct request *request)
{
    const char *path = request->path, *slash = strrchr(path, '/');
    snprintf(pack->name, sizeof pack->name, "%s", slash ? slash + 1 : path);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOTDIR && !request->names.count)
        return pack_entry(pack, AT_FDCWD, path);
    if (fd < 0)
        return broken(pack, "open");
    pack->name[0] = 0;
    if (!request->names.count && !is_kernels(fd))
        return pack_directory(pack, fd);
    int failed = request->names.count ? 0 : refuse_kernels(pack, fd);
    for (size_t i = 0; i < request->names.count && !failed; i++)
        failed = pack_name(pack, fd, request->names.items[i]);
    close(fd);
    return failed;
}

/* --- a root without what is mounted in it -------------------------------------- */

/* From linux/mount.h, 5.2: make a new mount of the tree at a path, without the mounts below it. */
enum { TREE_CLONE = 1 };

static int open_alone(const char *path)
{
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, TREE_CLONE | O_CLOEXEC);
    if (tree < 0)
        return -1;
    int fd = openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = errno;
    close(tree);
    errno = error;
    return fd;
}

/* Resolve natives through the image's links, as the mounts were. A native that is no directory was
 * never mounted, and is packed with the root. */
static int open_natives(struct pack *pack, const char *path, const struct list *natives)
{
    char real[PATH_MAX];
    struct stat found;
    size_t above = path[1] ? strlen(path) : 0;
    pack->natives = calloc(natives->count + 1, sizeof *pack->natives);
    for (size_t i = 0; pack->natives && i < natives->count; i++) {
        if (!realpath(natives->items[i], real) || strncmp(real, path, above) != 0 ||
            real[above] != '/' || !real[above + 1] || stat(real, &found) || !S_ISDIR(found.st_mode))
            continue;
        struct native *native = &pack->natives[pack->native_count++];
        native->name = malloc(strlen(real) + 2);
        native->fd = open_alone(real);
        if (native->fd < 0 || !native->name)
            return broken(pack, "open a native directory below");
        sprintf(native->name, ".%s", real + above);
    }
    return pack->natives ? 0 : fail(pack->failure, "no-memory", 0, "no memory for the natives");
}

static int pack_alone(struct pack *pack, const struct request *request)
{
    if (request->names.count)
        return fail(pack->failure, "bad-request", 0, "NAME does not go with ALONE");
    snprintf(pack->name, sizeof pack->name, "%s", request->path);
    if (open_natives(pack, request->path, &request->native))
        return -1;
    int fd = open_alone(request->path);
    if (fd < 0)
        return broken(pack, "open");
    strcpy(pack->name, ".");
    return pack_whole(pack, fd);
}

/* --- the request -------------------------------------------------------------- */

int tar_out(int disk, const struct request *request, struct writer *result, struct failure *failure)
{
    (void)disk;
    struct pack *pack = malloc(sizeof *pack);
    if (!pack)
        return fail(failure, "no-memory", 0, "no memory to pack with");
    bool alone = request->flags & TAR_OUT_ALONE;
    int failed = pack_start(pack, failure);
    pack->offset = request->offset;
    failed = failed ||
                 (alone ? pack_alone(pack, request) : pack_path(pack, request)) || pack_end(pack);
    put_number(result, TAG_ENTRIES, pack->entries);
    put_number(result, TAG_BYTES, pack->bytes);
    pack_free(pack);
    free(pack);
    return failed ? -1 : 0;
}
