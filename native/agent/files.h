/* Files, directories and descriptors. */
#ifndef BANGER_FILES_H
#define BANGER_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { PIPE_SIZE = 262144 };

int make_parents(const char *path);
int make_directories(const char *path);
int open_in_root(const char *root, const char *path);
int open_beneath(int base, const char *name, int flags);
int make_in_root(const char *root, const char *path);
bool is_occupied(int error);
bool is_kernels(int fd);
int write_all(int fd, const void *bytes, size_t size);
ssize_t read_file(const char *path, char *text, size_t size);
int empty_directory(int fd);
int remove_tree(const char *path);
int open_pipe(int ends[2]);
void set_nonblocking(int fd);

#endif
