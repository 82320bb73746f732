#include "ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define CHECK(condition)                                                         \
    do {                                                                         \
        if (!(condition)) {                                                      \
            printf("%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, #condition); \
            failures++;                                                          \
        }                                                                        \
    } while (0)

static void test_first_in_first_out(void)
{
    char memory[8], out[8];
    struct ring ring;
    ring_init(&ring, memory, sizeof memory);
    CHECK(ring_write(&ring, "abc", 3) == 3);
    CHECK(ring_write(&ring, "de", 2) == 2);
    CHECK(ring_read(&ring, out, sizeof out) == 5);
    CHECK(memcmp(out, "abcde", 5) == 0);
}

static void test_full_and_empty(void)
{
    char memory[4], out[4];
    struct ring ring;
    ring_init(&ring, memory, sizeof memory);
    CHECK(ring_read(&ring, out, 1) == 0);
    CHECK(ring_write(&ring, "abcdef", 6) == 4);
    CHECK(ring_write(&ring, "g", 1) == 0);
    CHECK(ring_read(&ring, out, 4) == 4);
    CHECK(memcmp(out, "abcd", 4) == 0);
}

static void test_no_memory_at_all(void)
{
    char byte = 'x';
    struct ring ring;
    ring_init(&ring, NULL, 0);
    CHECK(ring_write(&ring, &byte, 1) == 0);
    CHECK(ring_read(&ring, &byte, 1) == 0);
}

/* Any mix of reads and writes behaves as one long stream of bytes. */
static void test_stream_stays_in_order(unsigned seed)
{
    unsigned char memory[61], bytes[100], written = 0, read = 0;
    struct ring ring;
    ring_init(&ring, memory, sizeof memory);
    srand(seed);
    for (int round = 0; round < 10000; round++) {
        size_t count = (size_t)rand() % sizeof bytes;
        for (size_t i = 0; i < count; i++)
            bytes[i] = (unsigned char)(written + i);
        written = (unsigned char)(written + ring_write(&ring, bytes, count));
        count = ring_read(&ring, bytes, (size_t)rand() % sizeof bytes);
        for (size_t i = 0; i < count; i++)
            CHECK(bytes[i] == read++);
    }
}

int main(int argc, char **argv)
{
    test_first_in_first_out();
    test_full_and_empty();
    test_no_memory_at_all();
    test_stream_stays_in_order(argc > 1 ? (unsigned)atoi(argv[1]) : 1);
    puts(failures ? "FAILED" : "4 tests passed");
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
