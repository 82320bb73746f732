/* A window is small until its stream has carried bulk, and doubles with each CREDIT then, as far as
 * the pool lasts. So the memory that hosts can make the agent keep is bounded by the first windows
 * and the pool, and an idle stream keeps none: the ring exists while bytes wait in it. */
#include "window.h"

#include "stream.h"

#include <stdlib.h>
#include <string.h>

static uint32_t grow(struct sink *in, struct window_pool *pool)
{
    uint32_t more = in->window;
    if (!in->is_bulk || in->window >= WINDOW_MAX || pool->left < more)
        return 0;
    pool->left -= more;
    in->lent += more;
    in->window += more;
    return more;
}

uint32_t window_pass(struct sink *in, size_t passed, struct window_pool *pool)
{
    uint32_t step = in->window / 2 < CREDIT_STEP ? in->window / 2 : CREDIT_STEP;
    in->passed += (uint32_t)passed;
    if (in->passed < step || in->eof)
        return 0;
    uint32_t credit = in->passed + grow(in, pool);
    in->allowed += credit;
    in->passed = 0;
    return credit;
}

size_t window_oldest(const struct sink *in, const uint8_t **bytes)
{
    *bytes = in->ring + in->start;
    return in->room - in->start < in->size ? in->room - in->start : in->size;
}

static void free_ring(struct sink *in, struct window_pool *pool)
{
    if (in->room == WINDOW_MAX && !pool->spare)
        pool->spare = in->ring;
    else
        free(in->ring);
    in->ring = NULL;
    in->room = in->start = in->size = 0;
}

void window_forget(struct sink *in, size_t size, struct window_pool *pool)
{
    in->start = (in->start + size) % in->room;
    in->size -= size;
    if (!in->size)
        free_ring(in, pool);
}

static uint8_t *allocate(uint32_t window, struct window_pool *pool)
{
    uint8_t *ring = pool->spare;
    if (window != WINDOW_MAX || !ring)
        return malloc(window);
    pool->spare = NULL;
    return ring;
}

/* Make the ring as large as the window, which has grown since, or make one. */
static bool enlarge(struct sink *in, struct window_pool *pool)
{
    const uint8_t *bytes;
    uint8_t *ring = allocate(in->window, pool);
    if (!ring)
        return false;
    if (in->size) {
        size_t run = window_oldest(in, &bytes);
        memcpy(ring, bytes, run);
        memcpy(ring + run, in->ring, in->size - run);
    }
    free(in->ring);
    in->ring = ring;
    in->room = in->window;
    in->start = 0;
    return true;
}

bool window_keep(struct sink *in, const uint8_t *bytes, size_t size, struct window_pool *pool)
{
    if (in->size + size > in->room && !enlarge(in, pool))
        return false;
    while (size) {
        size_t end = (in->start + in->size) % in->room;
        size_t run = in->room - end < size ? in->room - end : size;
        memcpy(in->ring + end, bytes, run);
        in->size += run;
        bytes += run;
        size -= run;
    }
    return true;
}

void window_end(struct sink *in, struct window_pool *pool)
{
    free_ring(in, pool);
    pool->left += in->lent;
    in->lent = 0;
}
