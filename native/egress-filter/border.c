#include "border.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_RATE (UINT64_C(1) << 40) /* more bytes than any network carries in a second */

enum { LONGEST_MESSAGE = 1 + MOST_DENIALS * DENIAL_SIZE };

bool border_open(struct border *border, int control, uint64_t network6)
{
    border->network6 = network6;
    border->control = control;
    border->client = -1;
    return own_open(&border->own);
}

struct pollfd border_poll(const struct border *border)
{
    int fd = border->client >= 0 ? border->client : border->control;
    return (struct pollfd){fd, POLLIN, 0};
}

static void add(struct outbox *box, const uint8_t *frame, size_t size)
{
    uint8_t *at = box->bytes + box->size;
    if (size == 0 || OUTBOX - box->size < LENGTH_SIZE + size)
        return;
    memcpy(at, (uint8_t[LENGTH_SIZE]){0, 0, 0, (uint8_t)size}, LENGTH_SIZE);
    memcpy(at + LENGTH_SIZE, frame, size);
    box->size += LENGTH_SIZE + size;
}

static void refuse(struct border *border, const uint8_t *frame, size_t size)
{
    uint8_t reply[LONGEST_REPLY];
    add(&border->to_guest, reply, refuse_frame(reply, frame, size));
}

/* Reset the connections that are no longer allowed. */
static void end_flows(struct border *border)
{
    uint8_t frame[KEPT];
    struct flow flow;
    own_refresh(&border->own);
    for (struct kept *each = border->flows.all; each < border->flows.all + FLOWS; each++) {
        size_t size = kept_size(each);
        if (each->last == 0 || read_frame(each->frame, size, border->network6, &flow) != FLOW ||
            is_allowed(&border->policy, &flow, own_has, &border->own))
            continue;
        refuse(border, each->frame, size);
        reset_world(frame, each);
        add(&border->to_world, frame, size);
        each->last = 0;
    }
}

static bool change_policy(struct border *border, const uint8_t *rules, size_t size)
{
    bool is_one = parse_policy(&border->policy, rules, size);
    if (is_one)
        end_flows(border);
    return is_one;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool limit_rate(struct border *border, const uint8_t *bytes, size_t size)
{
    uint64_t rate = 0;
    if (size != sizeof rate)
        return false;
    for (size_t i = 0; i < size; i++)
        rate = rate << 8 | bytes[i];
    if (rate > MOST_RATE)
        return false;
    bucket_set(&border->out, rate, now_ns());
    bucket_set(&border->in, rate, now_ns());
    return true;
}

bool border_lets_out(struct border *border)
{
    return bucket_has(&border->out, border->out.rate > 0 ? now_ns() : 0);
}

bool border_lets_in(struct border *border)
{
    return bucket_has(&border->in, border->in.rate > 0 ? now_ns() : 0);
}

int border_wait_ms(const struct border *border, int otherwise)
{
    int waits[] = {bucket_wait_ms(&border->out), bucket_wait_ms(&border->in), otherwise};
    int least = -1;
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
        if (waits[i] >= 0 && (least < 0 || waits[i] < least))
            least = waits[i];
    return least;
}

static size_t answer(struct border *border, uint8_t *message, size_t size)
{
    if (message[0] == 'P')
        message[0] = change_policy(border, message + 1, size - 1) ? 'P' : 'E';
    else if (message[0] == 'R')
        message[0] = limit_rate(border, message + 1, size - 1) ? 'R' : 'E';
    else if (message[0] == 'L' && size == 1)
        return 1 + write_denials(&border->denials, message + 1);
    else
        message[0] = 'E';
    return 1;
}

void border_serve(struct border *border)
{
    uint8_t message[LONGEST_MESSAGE];
    if (border->client < 0) {
        border->client = accept4(border->control, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        return;
    }
    ssize_t n = recv(border->client, message, sizeof message, MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    size_t size = n > 0 && n <= LONGEST_MESSAGE ? answer(border, message, (size_t)n) : 0;
    if (size > 0 && send(border->client, message, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return;
    close(border->client);
    border->client = -1;
}

bool border_passes(void *context, const uint8_t *frame, size_t size)
{
    struct border *border = context;
    struct flow flow;
    enum wish wish = read_frame(frame, size, border->network6, &flow);
    if (wish != FLOW)
        return wish == PASSAGE;
    if (is_allowed(&border->policy, &flow, own_has, &border->own)) {
        note_frame(&border->flows, frame, size);
        return true;
    }
    note_denial(&border->denials, &flow, (uint64_t)time(NULL));
    refuse(border, frame, size);
    return false;
}
