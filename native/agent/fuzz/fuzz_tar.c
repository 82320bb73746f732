/* The tar headers: a block as it comes, the same with a right sum (or hardly anything would
 * get further), and the rest as PAX records. */
#include "tar_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static volatile size_t sink;

static void parse(const uint8_t *block)
{
    struct tar_header header;
    if (tar_parse_header(block, &header))
        sink += strlen(header.name) + strlen(header.link);
}

static void look_at(const struct tar_extension *extension)
{
    if (extension->name)
        sink += strlen(extension->name);
    if (extension->link)
        sink += strlen(extension->link);
    if (extension->has_mtime && extension->mtime_ns > 999999999)
        abort();
    for (size_t i = 0; i < extension->xattr_count; i++) {
        sink += strlen(extension->xattrs[i].name);
        for (size_t j = 0; j < extension->xattrs[i].size; j++)
            sink += extension->xattrs[i].value[j];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t block[TAR_BLOCK] = {0};
    struct tar_extension extension = {0};
    memcpy(block, bytes, size < TAR_BLOCK ? size : TAR_BLOCK);
    sink += tar_is_zero(block);
    parse(block);
    unsigned sum = 0;
    memset(block + 148, ' ', 8);
    for (int i = 0; i < TAR_BLOCK; i++)
        sum += block[i];
    snprintf((char *)block + 148, 8, "%06o", sum);
    parse(block);
    char *records = malloc(size + 1);
    memcpy(records, bytes, size);
    records[size] = 0;
    if (tar_parse_pax(records, size, &extension))
        look_at(&extension);
    free(records);
    return 0;
}
