/* The tar format (POSIX ustar and PAX, GNU long names): one header at a time.
 * Pure. Fuzzed by fuzz/fuzz_tar.c. */
#ifndef BANGER_TAR_HEADER_H
#define BANGER_TAR_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TAR_BLOCK = 512,
    TAR_NAME_MAX = 256 + 2, /* prefix, slash, name */
    TAR_EXTENSION_MAX = 1 << 20,
    TAR_XATTRS = 32,
};

struct tar_header {
    char type;
    char name[TAR_NAME_MAX], link[101];
    uint64_t size, mode, uid, gid, major, minor;
    int64_t mtime;
};

struct tar_xattr {
    const char *name; /* NUL-terminated */
    const uint8_t *value;
    size_t size;
};

/* Values from PAX and GNU extensions for the next entry; NULL or false if absent.
 * Points into the parsed records. */
struct tar_extension {
    const char *name, *link;
    bool has_size, has_uid, has_gid, has_mtime;
    uint64_t size, uid, gid;
    int64_t mtime;
    uint32_t mtime_ns;
    struct tar_xattr xattrs[TAR_XATTRS];
    size_t xattr_count;
};

bool tar_is_zero(const uint8_t *block);

/* Parse a header block. False: not a header (wrong sum, wrong numbers). */
bool tar_parse_header(const uint8_t *block, struct tar_header *header);

/* Parse the records of a PAX header, in place (values get their final NUL). False: malformed,
 * or a sparse file, which is not supported. */
bool tar_parse_pax(char *records, size_t size, struct tar_extension *extension);

#endif
