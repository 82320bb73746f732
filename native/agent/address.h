/* The addresses that requests name: HOST and PORT, or the PATH of a Unix socket. */
#ifndef BANGER_ADDRESS_H
#define BANGER_ADDRESS_H

#include "fields.h"
#include <sys/socket.h>

struct address {
    struct sockaddr_storage at;
    socklen_t size;
};

/* `least`: the lowest PORT that is allowed. */
int address_parse(const struct request *request, uint64_t least, struct address *address,
                  struct failure *failure);

/* Fill the failure with what connecting or listening ended with. */
int address_explain(int error, const char *what, struct failure *failure);

#endif
