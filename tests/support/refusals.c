/* Preloaded into a server, this is a file system that refuses some calls below a folder.

   REFUSED_BELOW names the folder; each of REFUSED_SYNC, REFUSED_LOCK and REFUSED_MOVE, if set, is the errno of a call:
   of fsync and fdatasync, of flock and record locks, of renames from one folder to another. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int is_below(const char *path) {
    const char *folder = getenv("REFUSED_BELOW");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_open_below(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_below(path);
}

static int refuses(const char *call) {
    const char *number = getenv(call);
    if (number)
        errno = atoi(number);
    return number != NULL;
}

int fsync(int descriptor) {
    if (is_open_below(descriptor) && refuses("REFUSED_SYNC"))
        return -1;
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(descriptor);
}

int fdatasync(int descriptor) {
    if (is_open_below(descriptor) && refuses("REFUSED_SYNC"))
        return -1;
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(descriptor);
}

int flock(int descriptor, int operation) {
    if (is_open_below(descriptor) && refuses("REFUSED_LOCK"))
        return -1;
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(descriptor, operation);
}

static int control(const char *name, int descriptor, int command, void *argument) {
    int locks = command == F_SETLK || command == F_SETLKW || command == F_GETLK;
    if (locks && is_open_below(descriptor) && refuses("REFUSED_LOCK"))
        return -1;
    return ((int (*)(int, int, ...))dlsym(RTLD_NEXT, name))(descriptor, command, argument);
}

#define CONTROL(name)                             \
    int name(int descriptor, int command, ...) {  \
        va_list more;                             \
        va_start(more, command);                  \
        void *argument = va_arg(more, void *);    \
        va_end(more);                             \
        return control(#name, descriptor, command, argument); \
    }

CONTROL(fcntl)
CONTROL(fcntl64)

int rename(const char *from, const char *to) {
    const char *one = strrchr(from, '/'), *other = strrchr(to, '/');
    int moves = one && other && (one - from != other - to || strncmp(from, to, one - from) != 0);
    if (moves && is_below(to) && refuses("REFUSED_MOVE"))
        return -1;
    return ((int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename"))(from, to);
}
