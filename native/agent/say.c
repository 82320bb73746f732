#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Write a line to the console (stderr on a host). */
void say(const char *format, ...)
{
    char line[512];
    va_list arguments;
    int n = snprintf(line, sizeof line, "banger-agent: ");
    va_start(arguments, format);
    vsnprintf(line + n, sizeof line - (size_t)n - 1, format, arguments);
    va_end(arguments);
    size_t length = strlen(line);
    line[length++] = '\n';
    if (write(STDERR_FILENO, line, length) < 0)
        return; /* the console cannot be written: nothing more to try */
}
