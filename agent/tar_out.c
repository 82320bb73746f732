/* TAR_OUT: pack a directory (or one file) as a PAX tar to standard output. Runs as a worker
 * (worker.c), so it may block. Names are sorted: equal trees give equal archives. */
#include "agent.h"
#include "tar_header.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { BUFFER = 65536, PAX_MAX = 131072, OCTAL_8 = 07777777 };

static const int64_t OCTAL_12 = 077777777777;

/* A file with several names: the first one that was packed. */
struct seen {
    dev_t device;
    ino_t inode;
    char *name;
};

struct pack {
    struct failure *failure;
    uint8_t *buffer; /* output that waits */
    size_t used;
    char *pax; /* records of the entry at hand */
    size_t pax_size;
    struct seen *seen; /* open addressing; `seen_room` is a power of two */
    size_t seen_count, seen_room;
    char name[PATH_MAX]; /* of the entry at hand, relative */
    uint64_t entries, bytes;
};

static int broken(struct pack *pack, const char *what)
{
    const char *code = errno == ENOENT ? "not-found" : "io";
    return fail(pack->failure, code, errno, "%s %.160s", what, pack->name);
}

/* --- output ------------------------------------------------------------------- */

static int flush(struct pack *pack)
{
    size_t size = pack->used;
    pack->used = 0;
    if (size && write_all(STDOUT_FILENO, pack->buffer, size))
        return broken(pack, "send");
    return 0;
}

static int put(struct pack *pack, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    while (size) {
        size_t n = BUFFER - pack->used < size ? BUFFER - pack->used : size;
        if (at) {
            memcpy(pack->buffer + pack->used, at, n);
            at += n;
        } else
            memset(pack->buffer + pack->used, 0, n);
        pack->used += n;
        size -= n;
        if (pack->used == BUFFER && flush(pack))
            return -1;
    }
    return 0;
}

static int put_padding(struct pack *pack, uint64_t size)
{
    return put(pack, NULL, (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK));
}

/* --- headers ------------------------------------------------------------------ */

static void octal(uint8_t *at, size_t size, uint64_t value)
{
    for (size_t i = size - 1; i-- > 0; value >>= 3)
        at[i] = (uint8_t)('0' + (value & 7));
}

static int put_block(struct pack *pack, const struct tar_header *header)
{
    uint8_t block[TAR_BLOCK] = {0};
    uint64_t sum = 0;
    memcpy(block, header->name, strnlen(header->name, 100));
    octal(block + 100, 8, header->mode & 07777);
    octal(block + 108, 8, header->uid & OCTAL_8);
    octal(block + 116, 8, header->gid & OCTAL_8);
    octal(block + 124, 12, header->size & (uint64_t)OCTAL_12);
    octal(block + 136, 12, header->mtime < 0 ? 0 : (uint64_t)(header->mtime & OCTAL_12));
    block[156] = (uint8_t)header->type;
    memcpy(block + 157, header->link, strnlen(header->link, 100));
    memcpy(block + 257, "ustar\00000", 8);
    octal(block + 329, 8, header->major);
    octal(block + 337, 8, header->minor);
    memset(block + 148, ' ', 8);
    for (int i = 0; i < TAR_BLOCK; i++)
        sum += block[i];
    octal(block + 148, 7, sum);
    return put(pack, block, TAR_BLOCK);
}

/* Append `LENGTH KEY=VALUE\n`; the length counts its own digits. */
static int add_record(struct pack *pack, const char *key, const void *value, size_t size)
{
    char digits[24];
    size_t body = strlen(key) + size + 3, length = body + 1;
    while ((size_t)snprintf(digits, sizeof digits, "%zu", length) + body != length)
        length = body + strlen(digits);
    if (length > PAX_MAX - pack->pax_size) {
        errno = E2BIG;
        return broken(pack, "describe");
    }
    char *at = pack->pax + pack->pax_size;
    at += sprintf(at, "%zu %s=", length, key);
    memcpy(at, value, size);
    at[size] = '\n';
    pack->pax_size += length;
    return 0;
}

static int add_number(struct pack *pack, const char *key, uint64_t value)
{
    char text[24];
    return add_record(pack, key, text, (size_t)sprintf(text, "%llu", (unsigned long long)value));
}

static int add_mtime(struct pack *pack, const struct stat *found)
{
    char text[48];
    long long seconds = found->st_mtim.tv_sec;
    long ns = found->st_mtim.tv_nsec;
    const char *sign = "";
    if (seconds < 0) { /* PAX writes a decimal number: -1.5 is 1.5 s before the epoch */
        sign = "-";
        seconds = ns ? -seconds - 1 : -seconds;
        ns = ns ? 1000000000 - ns : 0;
    }
    int n = snprintf(text, sizeof text, "%s%lld.%09ld", sign, seconds, ns);
    return add_record(pack, "mtime", text, (size_t)n);
}

static bool is_packed(const char *xattr)
{
    return strncmp(xattr, "user.", 5) == 0 || strcmp(xattr, "security.capability") == 0 ||
           strncmp(xattr, "system.posix_acl_", 17) == 0;
}

static int add_xattrs(struct pack *pack, int fd)
{
    char names[4096], key[300], value[4096];
    ssize_t size = flistxattr(fd, names, sizeof names);
    for (char *name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
        if (!is_packed(name))
            continue;
        ssize_t n = fgetxattr(fd, name, value, sizeof value);
        snprintf(key, sizeof key, "SCHILY.xattr.%s", name);
        if (n >= 0 && add_record(pack, key, value, (size_t)n))
            return -1;
    }
    return 0;
}

static int put_header(struct pack *pack, struct tar_header *header, const struct stat *found,
                      const char *link)
{
    size_t length = strlen(pack->name), link_length = link ? strlen(link) : 0;
    header->mode = found->st_mode;
    header->uid = found->st_uid;
    header->gid = found->st_gid;
    header->mtime = found->st_mtim.tv_sec;
    snprintf(header->name, 101, "%s", pack->name);
    snprintf(header->link, sizeof header->link, "%s", link ? link : "");
    if ((length > 100 && add_record(pack, "path", pack->name, length)) ||
        (link_length > 100 && add_record(pack, "linkpath", link, link_length)) ||
        (header->size > (uint64_t)OCTAL_12 && add_number(pack, "size", header->size)) ||
        (header->uid > OCTAL_8 && add_number(pack, "uid", header->uid)) ||
        (header->gid > OCTAL_8 && add_number(pack, "gid", header->gid)))
        return -1;
    bool odd_time = found->st_mtim.tv_nsec || header->mtime < 0 || header->mtime > OCTAL_12;
    if (odd_time && add_mtime(pack, found))
        return -1;
    if (pack->pax_size) {
        struct tar_header pax = {.type = 'x', .name = "pax", .mode = 0644, .size = pack->pax_size};
        if (put_block(pack, &pax) || put(pack, pack->pax, pack->pax_size) ||
            put_padding(pack, pack->pax_size))
            return -1;
    }
    pack->pax_size = 0;
    pack->entries++;
    return put_block(pack, header);
}

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

/* Set `*first` to the name under which this file was packed already, or to NULL. */
static int find_first(struct pack *pack, const struct stat *found, const char **first)
{
    *first = NULL;
    if (found->st_nlink < 2)
        return 0;
    if (grow_seen(pack))
        return -1;
    struct seen *slot = find_slot(pack, found);
    if (slot->name) {
        *first = slot->name;
        return 0;
    }
    *slot = (struct seen){found->st_dev, found->st_ino, strdup(pack->name)};
    pack->seen_count += slot->name != NULL;
    return slot->name ? 0 : fail(pack->failure, "no-memory", 0, "no memory for the hard links");
}

/* --- entries ------------------------------------------------------------------ */

static int pack_directory(struct pack *pack, int fd);

/* Exactly `size` bytes: a file that grows is cut, one that shrinks is filled with zeros. */
static int put_content(struct pack *pack, int fd, uint64_t size)
{
    for (uint64_t left = size; left;) {
        if (pack->used == BUFFER && flush(pack))
            return -1;
        size_t room = BUFFER - pack->used;
        ssize_t n = read(fd, pack->buffer + pack->used, left < room ? (size_t)left : room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return broken(pack, "read");
        if (n == 0) {
            size_t zeros = left < BUFFER ? (size_t)left : BUFFER;
            if (put(pack, NULL, zeros))
                return -1;
            left -= zeros;
            continue;
        }
        pack->used += (size_t)n;
        left -= (uint64_t)n;
    }
    pack->bytes += size;
    return put_padding(pack, size);
}

static int pack_file(struct pack *pack, int parent, const char *entry, struct stat *found)
{
    const char *first;
    if (find_first(pack, found, &first))
        return -1;
    struct tar_header header = {.type = first ? '1' : '0'};
    if (first)
        return put_header(pack, &header, found, first);
    int fd = openat(parent, entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, found)) {
        if (fd >= 0)
            close(fd);
        return broken(pack, "open");
    }
    header.size = (uint64_t)found->st_size;
    int failed = add_xattrs(pack, fd) || put_header(pack, &header, found, NULL) ||
                 put_content(pack, fd, header.size);
    close(fd);
    return failed ? -1 : 0;
}

static int pack_symlink(struct pack *pack, int parent, const char *entry, const struct stat *found)
{
    char target[PATH_MAX];
    struct tar_header header = {.type = '2'};
    ssize_t n = readlinkat(parent, entry, target, sizeof target - 1);
    if (n < 0)
        return broken(pack, "read the link");
    target[n] = 0;
    return put_header(pack, &header, found, target);
}

static int pack_subdirectory(struct pack *pack, int parent, const char *entry,
                             const struct stat *found)
{
    struct tar_header header = {.type = '5'};
    int fd = openat(parent, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return broken(pack, "open");
    size_t length = strlen(pack->name);
    if (length + 2 > sizeof pack->name) {
        close(fd);
        errno = ENAMETOOLONG;
        return broken(pack, "pack");
    }
    pack->name[length] = '/';
    pack->name[length + 1] = 0;
    int failed = add_xattrs(pack, fd) || put_header(pack, &header, found, NULL);
    if (failed) {
        close(fd);
        return -1;
    }
    return pack_directory(pack, fd);
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
        return pack_subdirectory(pack, parent, entry, &found);
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

/* Pack what is in a directory and close its descriptor. `pack->name` is its name with a
 * final slash (or empty), and is so again afterwards. */
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

/* --- the request -------------------------------------------------------------- */

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

/* Pack one name below the directory; no link is followed on the way. */
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
    int failed = faccessat(parent, at, F_OK, AT_SYMLINK_NOFOLLOW) ? broken(pack, "find")
                                                                  : pack_entry(pack, parent, at);
    close(parent);
    pack->name[0] = 0;
    return failed;
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
    if (!request->names.count)
        return pack_directory(pack, fd);
    int failed = 0;
    for (size_t i = 0; i < request->names.count && !failed; i++)
        failed = pack_name(pack, fd, request->names.items[i]);
    close(fd);
    return failed;
}

int tar_out(const struct agent *agent, const struct request *request, struct writer *result,
            struct failure *failure)
{
    (void)agent;
    struct pack *pack = calloc(1, sizeof *pack);
    int failed = -1;
    if (pack) {
        pack->failure = failure;
        pack->buffer = malloc(BUFFER);
        pack->pax = malloc(PAX_MAX);
    }
    if (!pack || !pack->buffer || !pack->pax)
        fail(failure, "no-memory", 0, "no memory to pack with");
    else
        failed = pack_path(pack, request) || put(pack, NULL, 2 * TAR_BLOCK) || flush(pack);
    if (!pack)
        return -1;
    put_number(result, TAG_ENTRIES, pack->entries);
    put_number(result, TAG_BYTES, pack->bytes);
    for (size_t i = 0; i < pack->seen_room; i++)
        free(pack->seen[i].name);
    free(pack->seen);
    free(pack->buffer);
    free(pack->pax);
    free(pack);
    return failed ? -1 : 0;
}
