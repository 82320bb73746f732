#include "tar_header.h"

#include <string.h>

bool tar_is_zero(const uint8_t *block)
{
    for (int i = 0; i < TAR_BLOCK; i++)
        if (block[i])
            return false;
    return true;
}

/* Parse an octal field, or GNU's base 256 if the first bit is set. */
static bool parse_field(const uint8_t *at, size_t size, uint64_t *value)
{
    uint64_t sum = 0;
    size_t i = 0;
    *value = 0;
    if (at[0] & 0x80) {
        if (at[0] != 0x80 && at[0] != 0xff)
            return false;
        for (i = 1; i < size; i++)
            sum = sum << 8 | at[i];
        *value = at[0] == 0xff && size < 9 ? sum | ~(uint64_t)0 << (8 * (size - 1)) : sum;
        return true;
    }
    while (i < size && at[i] == ' ')
        i++;
    for (; i < size && at[i] >= '0' && at[i] <= '7'; i++) {
        if (sum >> 60)
            return false;
        sum = sum << 3 | (uint64_t)(at[i] - '0');
    }
    *value = sum;
    return i == size || at[i] == ' ' || at[i] == 0;
}

static bool sum_is_right(const uint8_t *block)
{
    uint64_t stored, sum = 0, signed_sum = 0;
    for (int i = 0; i < TAR_BLOCK; i++) {
        uint8_t byte = i >= 148 && i < 156 ? ' ' : block[i];
        sum += byte;
        signed_sum += (uint64_t)(int64_t)(int8_t)byte; /* some old writers */
    }
    return parse_field(block + 148, 8, &stored) && (stored == sum || stored == signed_sum);
}

static size_t copy_text(char *to, const uint8_t *from, size_t size)
{
    size_t n = strnlen((const char *)from, size);
    memcpy(to, from, n);
    to[n] = 0;
    return n;
}

bool tar_parse_header(const uint8_t *block, struct tar_header *header)
{
    uint64_t mtime;
    memset(header, 0, sizeof *header);
    if (!sum_is_right(block) || !parse_field(block + 100, 8, &header->mode) ||
        !parse_field(block + 108, 8, &header->uid) || !parse_field(block + 116, 8, &header->gid) ||
        !parse_field(block + 124, 12, &header->size) || !parse_field(block + 136, 12, &mtime))
        return false;
    header->mtime = (int64_t)mtime;
    header->type = (char)block[156];
    copy_text(header->link, block + 157, 100);
    bool posix = memcmp(block + 257, "ustar\0", 6) == 0;
    size_t n = posix ? copy_text(header->name, block + 345, 155) : 0;
    if (n)
        header->name[n++] = '/';
    copy_text(header->name + n, block, 100);
    bool device = header->type == '3' || header->type == '4';
    return !device || (parse_field(block + 329, 8, &header->major) &&
                       parse_field(block + 337, 8, &header->minor));
}

static bool parse_decimal(const char *text, uint64_t *value)
{
    uint64_t sum = 0;
    if (!*text)
        return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (sum > (UINT64_MAX - 9) / 10)
            return false;
        sum = sum * 10 + (uint64_t)(*text - '0');
    }
    *value = sum;
    return !*text;
}

/* Parse seconds with an optional sign and fraction. Round down, as stat does. */
static bool parse_time(char *text, struct tar_extension *extension)
{
    bool negative = *text == '-';
    uint64_t seconds;
    uint32_t ns = 0, unit = 100000000;
    char *point = strchr(text, '.');
    if (point)
        *point++ = 0;
    if (!parse_decimal(text + negative, &seconds) || seconds > (uint64_t)1 << 40)
        return false;
    for (; point && *point; point++, unit /= 10) {
        if (*point < '0' || *point > '9')
            return false;
        ns += (uint32_t)(*point - '0') * unit;
    }
    extension->mtime = negative ? -(int64_t)seconds - (ns > 0) : (int64_t)seconds;
    extension->mtime_ns = negative && ns ? 1000000000 - ns : ns;
    extension->has_mtime = true;
    return true;
}

static bool take_xattr(struct tar_extension *extension, const char *name, const char *value,
                       size_t size)
{
    if (extension->xattr_count == TAR_XATTRS)
        return false;
    extension->xattrs[extension->xattr_count++] =
        (struct tar_xattr){name, (const uint8_t *)value, size};
    return true;
}

static bool take_record(struct tar_extension *extension, const char *key, char *value, size_t size)
{
    static const char xattr[] = "SCHILY.xattr.";
    bool has_nul = memchr(value, 0, size);
    if (strncmp(key, xattr, sizeof xattr - 1) == 0)
        return take_xattr(extension, key + sizeof xattr - 1, value, size);
    if (strncmp(key, "GNU.sparse.", 11) == 0)
        return false;
    if (strcmp(key, "path") == 0) {
        extension->name = value;
        return !has_nul && size;
    }
    if (strcmp(key, "linkpath") == 0) {
        extension->link = value;
        return !has_nul && size;
    }
    if (strcmp(key, "size") == 0)
        return extension->has_size = parse_decimal(value, &extension->size);
    if (strcmp(key, "uid") == 0)
        return extension->has_uid = parse_decimal(value, &extension->uid);
    if (strcmp(key, "gid") == 0)
        return extension->has_gid = parse_decimal(value, &extension->gid);
    if (strcmp(key, "mtime") == 0)
        return parse_time(value, extension);
    return true; /* other keys are ignored */
}

/* A record is `LENGTH KEY=VALUE\n`; the length counts itself and the newline. */
bool tar_parse_pax(char *records, size_t size, struct tar_extension *extension)
{
    while (size) {
        size_t length = 0, digits = 0;
        while (digits < size && digits < 8 && records[digits] >= '0' && records[digits] <= '9')
            length = length * 10 + (size_t)(records[digits++] - '0');
        if (!digits || length > size || length < digits + 3 || records[digits] != ' ' ||
            records[length - 1] != '\n')
            return false;
        char *key = records + digits + 1;
        char *equals = memchr(key, '=', length - digits - 2);
        if (!equals || equals == key || memchr(key, 0, (size_t)(equals - key)))
            return false;
        *equals = 0;
        records[length - 1] = 0;
        if (!take_record(extension, key, equals + 1, (size_t)(records + length - 2 - equals)))
            return false;
        records += length;
        size -= length;
    }
    return true;
}
