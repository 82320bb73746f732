/* The output of TAR_OUT: buffered, with all of a file's attributes that PAX supports. */
#include "tar_pack.h"

#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { OCTAL_8 = 07777777 };

static const int64_t OCTAL_12 = 077777777777;

int broken(struct pack *pack, const char *what)
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

/* Append `LENGTH KEY=VALUE\n`; the length includes its own digits. */
static int add_record(struct pack *pack, const char *key, const void *value, size_t size)
{
    char digits[24];
    size_t body = strlen(key) + size + 3, length = body + 1;
    while ((size_t)snprintf(digits, sizeof digits, "%zu", length) + body != length)
        length = body + strlen(digits);
    if (length > TAR_EXTENSION_MAX - pack->pax_size) {
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

/* Of the next header; every reader passes over it (pax(1)). */
int add_comment(struct pack *pack, const char *text)
{
    return add_record(pack, "comment", text, strlen(text));
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
    static const char *const kinds[] = {"user.", "security.", "trusted.", "system.posix_acl_"};
    for (int i = 0; i < 4; i++)
        if (strncmp(xattr, kinds[i], strlen(kinds[i])) == 0)
            return true;
    return false;
}

/* The attributes of an open file go before its header. */
int put_xattrs(struct pack *pack, int fd)
{
    char key[300];
    ssize_t size = flistxattr(fd, pack->xattr_names, XATTR_MAX);
    const char *end = pack->xattr_names + (size < 0 ? 0 : size);
    for (const char *name = pack->xattr_names; name < end; name += strlen(name) + 1) {
        if (!is_packed(name))
            continue;
        ssize_t n = fgetxattr(fd, name, pack->xattr_value, XATTR_MAX);
        snprintf(key, sizeof key, "SCHILY.xattr.%s", name);
        if (n >= 0 && add_record(pack, key, pack->xattr_value, (size_t)n))
            return -1;
    }
    return 0;
}

int put_header(struct pack *pack, struct tar_header *header, const struct stat *found,
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

/* --- content ------------------------------------------------------------------ */

/* Write exactly `size` bytes: cut a file that grows, pad a file that shrinks with zeros. */
int put_content(struct pack *pack, int fd, uint64_t size)
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

/* --- beginning and end -------------------------------------------------------- */

int pack_start(struct pack *pack, struct failure *failure)
{
    memset(pack, 0, sizeof *pack);
    pack->failure = failure;
    pack->buffer = malloc(BUFFER);
    pack->pax = malloc(TAR_EXTENSION_MAX);
    pack->xattr_names = malloc(XATTR_MAX);
    pack->xattr_value = malloc(XATTR_MAX);
    if (pack->buffer && pack->pax && pack->xattr_names && pack->xattr_value)
        return 0;
    return fail(failure, "no-memory", 0, "no memory to pack with");
}

int pack_end(struct pack *pack)
{
    return put(pack, NULL, 2 * TAR_BLOCK) || flush(pack) ? -1 : 0;
}

void pack_free(struct pack *pack)
{
    for (size_t i = 0; i < pack->seen_room; i++)
        free(pack->seen[i].name);
    for (size_t i = 0; i < pack->native_count; i++) {
        free(pack->natives[i].name);
        close(pack->natives[i].fd);
    }
    free(pack->natives);
    free(pack->seen);
    free(pack->buffer);
    free(pack->pax);
    free(pack->xattr_names);
    free(pack->xattr_value);
}
