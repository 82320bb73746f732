/* The modes of a terminal, as ssh clients send them: numbers of RFC 4254, section 8, and of RFC 8160.
 * What Linux has no mode for is passed over, and so are bits and parity, which no Linux
 * pseudo-terminal changes. */
#include "modes.h"

#include "frame.h"

#include <stdbool.h>
#include <termios.h>

enum { NO_CHARACTER = 255, INPUT_SPEED = 128, OUTPUT_SPEED = 129 };

static const struct {
    uint8_t number, index; /* of c_cc */
} characters[] = {
    {1, VINTR},   {2, VQUIT},  {3, VERASE},    {4, VKILL},    {5, VEOF},   {6, VEOL},     {7, VEOL2},
    {8, VSTART},  {9, VSTOP},  {10, VSUSP},    {12, VREPRINT}, {13, VWERASE}, {14, VLNEXT},
    {18, VDISCARD},
};

struct flag {
    uint8_t number;
    tcflag_t bit;
};

static const struct flag inputs[] = {
    {30, IGNPAR}, {31, PARMRK}, {32, INPCK}, {33, ISTRIP}, {34, INLCR},   {35, IGNCR}, {36, ICRNL},
    {37, IUCLC},  {38, IXON},   {39, IXANY}, {40, IXOFF},  {41, IMAXBEL}, {42, IUTF8},
};

static const struct flag locals[] = {
    {50, ISIG},   {51, ICANON}, {53, ECHO},   {54, ECHOE},   {55, ECHOK},  {56, ECHONL},
    {57, NOFLSH}, {58, TOSTOP}, {59, IEXTEN}, {60, ECHOCTL}, {61, ECHOKE},
};

static const struct flag outputs[] = {
    {70, OPOST}, {71, OLCUC}, {72, ONLCR}, {73, OCRNL}, {74, ONOCR}, {75, ONLRET},
};

static const struct {
    uint32_t bauds;
    speed_t speed;
} speeds[] = {
    {300, B300},     {1200, B1200},   {2400, B2400},   {4800, B4800},     {9600, B9600},
    {19200, B19200}, {38400, B38400}, {57600, B57600}, {115200, B115200}, {230400, B230400},
};

#define COUNT(table) (sizeof table / sizeof *table)

static void set_flag(tcflag_t *flags, const struct flag *table, size_t count, uint8_t number,
                     bool is_on)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].number == number)
            *flags = is_on ? *flags | table[i].bit : *flags & ~table[i].bit;
}

static void set_character(struct termios *terminal, uint8_t number, uint32_t value)
{
    for (size_t i = 0; i < COUNT(characters); i++)
        if (characters[i].number == number)
            terminal->c_cc[characters[i].index] = value == NO_CHARACTER ? 0 : (cc_t)value;
}

static void set_speed(struct termios *terminal, uint8_t number, uint32_t bauds)
{
    for (size_t i = 0; i < COUNT(speeds); i++) {
        if (speeds[i].bauds != bauds)
            continue;
        if (number == INPUT_SPEED)
            cfsetispeed(terminal, speeds[i].speed);
        if (number == OUTPUT_SPEED)
            cfsetospeed(terminal, speeds[i].speed);
    }
}

/* Set what `modes` has: items of a number (u8) and a value (u32). Returns -1 with errno. */
int set_modes(int terminal, const struct blob *modes)
{
    struct termios now;
    if (tcgetattr(terminal, &now))
        return -1;
    for (size_t at = 0; modes->size - at >= MODE_SIZE; at += MODE_SIZE) {
        uint8_t number = modes->at[at];
        uint32_t value = get_u32(modes->at + at + 1);
        set_character(&now, number, value);
        set_flag(&now.c_iflag, inputs, COUNT(inputs), number, value);
        set_flag(&now.c_lflag, locals, COUNT(locals), number, value);
        set_flag(&now.c_oflag, outputs, COUNT(outputs), number, value);
        set_speed(&now, number, value);
    }
    return tcsetattr(terminal, TCSANOW, &now);
}
