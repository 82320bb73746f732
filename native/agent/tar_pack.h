/* A tar that is being packed, from its headers down to the bytes (tar_pack.c); tar_out.c chooses
 * the entries. */
#ifndef BANGER_TAR_PACK_H
#define BANGER_TAR_PACK_H

#include "fields.h"
#include "tar_header.h"

#include <limits.h>
#include <sys/stat.h>

enum { BUFFER = 65536, XATTR_MAX = 65536 };

/* A file with several names: the name that was packed first. */
struct seen {
    dev_t device;
    ino_t inode;
    char *name;
};

/* A directory that is packed from a mount of its own. */
struct native {
    char *name; /* in the form of packed names: `./root` */
    int fd;
};

struct pack {
    struct failure *failure;
    uint64_t offset; /* bytes of files that are left out at their beginning */
    uint8_t *buffer; /* pending output */
    size_t used;
    char *pax; /* records of the current entry */
    size_t pax_size;
    char *xattr_names, *xattr_value; /* XATTR_MAX each, the kernel's own limit */
    struct seen *seen; /* open addressing; `seen_room` is a power of two */
    size_t seen_count, seen_room;
    struct native *natives;
    size_t native_count;
    dev_t device; /* a file system that is known not to be the kernel's own state */
    char name[PATH_MAX]; /* of the current entry, relative */
    uint64_t entries, bytes;
};

int pack_start(struct pack *pack, struct failure *failure);
int pack_end(struct pack *pack);
void pack_free(struct pack *pack);

/* Fill the failure with `errno` and the current entry. */
int broken(struct pack *pack, const char *what);

int add_comment(struct pack *pack, const char *text);
int put_xattrs(struct pack *pack, int fd);
int put_header(struct pack *pack, struct tar_header *header, const struct stat *found,
               const char *link);
int put_content(struct pack *pack, int fd, uint64_t size);

#endif
