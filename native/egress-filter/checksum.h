/* The Internet checksum (RFC 1071). Pure. */
#ifndef BANGER_EGRESS_CHECKSUM_H
#define BANGER_EGRESS_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Add bytes to a sum, as big-endian words; of pieces all but the last have an even size. */
uint64_t add_words(uint64_t total, const uint8_t *bytes, size_t size);

/* Return the checksum for a sum. */
uint16_t fold(uint64_t total);

#endif
