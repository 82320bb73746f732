/* The parser of requests: the first byte is the kind, the rest its fields. Everything that
 * came out is read once, so that AddressSanitizer sees pointers that lead astray. */
#include "fields.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static volatile size_t sink;

static void look_at(const char *text)
{
    if (text)
        sink += strlen(text);
}

static void look_at_list(const struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        look_at(list->items[i]);
    if (list->count && list->items[list->count])
        abort();
}

static void look_at_blob(const struct blob *blob)
{
    for (size_t i = 0; i < blob->size; i++)
        sink += blob->at[i];
}

static void look(const struct request *request)
{
    const char *const texts[] = {request->cwd,     request->user,    request->path,
                                 request->host,    request->hostname, request->address,
                                 request->gateway, request->root,    request->data,
                                 request->modules, request->init,     request->address6};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        look_at(texts[i]);
    look_at_list(&request->args);
    look_at_list(&request->env);
    look_at_list(&request->names);
    look_at_list(&request->native);
    look_at_blob(&request->entropy);
    look_at_blob(&request->content);
    look_at_blob(&request->mac);
    for (size_t i = 0; i < request->file_count; i++)
        look(&request->files[i]);
    if (request->interface)
        look(request->interface);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct request request;
    struct failure failure;
    if (!size)
        return 0;
    uint8_t *copy = malloc(size); /* its own block: overruns are seen; the kind byte stands first,
                                     as in the agent */
    memcpy(copy, bytes, size);
    enum kind kind = 1 + copy[0] % KIND_INTERFACE;
    if (request_parse(&request, kind, copy + 1, size - 1, &failure) == 0)
        look(&request);
    else if (!failure.code || memchr(failure.message, 0, sizeof failure.message) == NULL)
        abort();
    request_free(&request);
    free(copy);
    return 0;
}
