/* The parser of SFTP requests: everything that came out is read once, so that AddressSanitizer sees
 * pointers that lead astray; its attributes are written and read again. */
#include "sftp_wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static volatile size_t sink;

static void look(const struct sftp_request *request)
{
    if (request->path)
        sink += strlen(request->path);
    if (request->second)
        sink += strlen(request->second);
    for (size_t i = 0; i < request->data_size; i++)
        sink += request->data[i];
    if (request->handle > SFTP_HANDLES || request->data_size > SFTP_PACKET_MAX)
        abort();
}

/* Write a SETSTAT with these attributes; reading it must give the same. */
static void read_again(const struct sftp_attributes *attributes)
{
    uint8_t packet[128];
    struct sftp_request again;
    struct sftp_writer out = {packet, 0, sizeof packet, false};
    struct sftp_attributes ours = *attributes;
    ours.flags &= SFTP_HAS_SIZE | SFTP_HAS_OWNER | SFTP_HAS_MODE | SFTP_HAS_TIMES;
    size_t begin = sftp_begin(&out, SFTP_SETSTAT, 7);
    sftp_put_text(&out, "name");
    sftp_put_attributes(&out, &ours);
    sftp_end(&out, begin);
    if (out.full || sftp_get_u32(packet) != out.size - SFTP_LENGTH ||
        !sftp_parse(packet + SFTP_LENGTH, out.size - SFTP_LENGTH, &again) ||
        strcmp(again.path, "name") != 0 ||
        memcmp(&again.attributes, &ours, sizeof ours) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct sftp_request request;
    uint8_t *copy = malloc(size ? size : 1); /* its own block: overruns are seen */
    memcpy(copy, bytes, size);
    if (sftp_parse(copy, size, &request)) {
        look(&request);
        read_again(&request.attributes);
    }
    free(copy);
    return 0;
}
