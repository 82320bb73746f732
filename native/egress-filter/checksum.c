#include "checksum.h"

uint64_t add_words(uint64_t total, const uint8_t *bytes, size_t size)
{
    for (; size > 1; bytes += 2, size -= 2)
        total += (uint32_t)bytes[0] << 8 | bytes[1];
    return size > 0 ? total + ((uint32_t)bytes[0] << 8) : total;
}

uint16_t fold(uint64_t total)
{
    while (total >> 16)
        total = (total & 0xFFFF) + (total >> 16);
    return (uint16_t)~total;
}
