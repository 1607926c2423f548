/* Lets the system calls that write below a folder fail, or end the process in their middle.
 *
 * Loaded with LD_PRELOAD, so that it also sees what SQLite and safetensors write. Calls are counted from `faults_arm`
 * on. At call number `at` the process is killed before it (BEFORE), after half of a write or the whole of another call
 * (HALFWAY), or this call and all later ones fail with `error` (FAIL). With `faults_clock` the time of day jumps by years
 * at every look.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OFF, BEFORE, HALFWAY, FAIL };

static char root[4096];
static int mode = OFF, error_code;
static long at, count;

void faults_arm(const char *folder, int how, long number, int error)
{
    snprintf(root, sizeof root, "%s", folder);
    at = number, count = 0, error_code = error, mode = how;
}

long faults_count(void) { return count; }

static int below(const char *path)
{
    return mode != OFF && path && !strncmp(path, root, strlen(root));
}

static int open_below(int fd)
{
    char link[64], path[4096];
    if (mode == OFF)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return below(path);
}

static void die(void) { kill(getpid(), SIGKILL); }

/* Returns HALFWAY where the caller is to end the process after its half, FAIL where it is to fail, else OFF. */
static int event(void)
{
    count++;
    if (mode == BEFORE && count == at)
        die();
    if (mode == HALFWAY && count == at)
        return HALFWAY;
    if (mode == FAIL && count >= at) {
        errno = error_code;
        return FAIL;
    }
    return OFF;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define AROUND(seen, call)                                                                                             \
    int what = (seen) ? event() : OFF;                                                                                 \
    if (what == FAIL)                                                                                                  \
        return -1;                                                                                                     \
    __typeof__(call) result = (call);                                                                                  \
    if (what == HALFWAY)                                                                                               \
        die();                                                                                                         \
    return result;

#define WRITE(call, half)                                                                                              \
    int what = open_below(fd) ? event() : OFF;                                                                         \
    if (what == FAIL)                                                                                                  \
        return -1;                                                                                                     \
    if (what == HALFWAY) {                                                                                             \
        half;                                                                                                          \
        die();                                                                                                         \
    }                                                                                                                  \
    return call;

ssize_t write(int fd, const void *data, size_t size)
{
    WRITE(REAL(write)(fd, data, size), REAL(write)(fd, data, size / 2))
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t place)
{
    WRITE(REAL(pwrite)(fd, data, size, place), REAL(pwrite)(fd, data, size / 2, place))
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t place)
{
    WRITE(REAL(pwrite64)(fd, data, size, place), REAL(pwrite64)(fd, data, size / 2, place))
}
ssize_t writev(int fd, const struct iovec *parts, int number)
{
    WRITE(REAL(writev)(fd, parts, number), REAL(writev)(fd, parts, number / 2))
}

int fsync(int fd) { AROUND(open_below(fd), REAL(fsync)(fd)) }
int fdatasync(int fd) { AROUND(open_below(fd), REAL(fdatasync)(fd)) }
int ftruncate(int fd, off_t size) { AROUND(open_below(fd), REAL(ftruncate)(fd, size)) }
int ftruncate64(int fd, off64_t size) { AROUND(open_below(fd), REAL(ftruncate64)(fd, size)) }
int rename(const char *from, const char *to) { AROUND(below(to), REAL(rename)(from, to)) }
int renameat(int a, const char *from, int b, const char *to) { AROUND(below(to), REAL(renameat)(a, from, b, to)) }
int link(const char *from, const char *to) { AROUND(below(to), REAL(link)(from, to)) }
int symlink(const char *from, const char *to) { AROUND(below(to), REAL(symlink)(from, to)) }
int mkdir(const char *path, mode_t rights) { AROUND(below(path), REAL(mkdir)(path, rights)) }

/* A full disk lets files be removed. */
#define REMOVES (mode == FAIL && error_code == ENOSPC ? 0 : 1)
int unlink(const char *path) { AROUND(below(path) && REMOVES, REAL(unlink)(path)) }
int rmdir(const char *path) { AROUND(below(path) && REMOVES, REAL(rmdir)(path)) }
int unlinkat(int folder, const char *path, int flags)
{
    AROUND(REMOVES && (path[0] == '/' ? below(path) : open_below(folder)), REAL(unlinkat)(folder, path, flags))
}

#define OPEN(name, seen, ...)                                                                                          \
    mode_t rights = 0;                                                                                                 \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                               \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        rights = va_arg(rest, mode_t);                                                                                 \
        va_end(rest);                                                                                                  \
    }                                                                                                                  \
    AROUND((flags & O_CREAT) && (seen), REAL(name)(__VA_ARGS__, flags, rights))

int open(const char *path, int flags, ...) { OPEN(open, below(path), path) }
int open64(const char *path, int flags, ...) { OPEN(open64, below(path), path) }
int openat(int folder, const char *path, int flags, ...) { OPEN(openat, below(path), folder, path) }
int openat64(int folder, const char *path, int flags, ...) { OPEN(openat64, below(path), folder, path) }

static int jumps;

void faults_clock(int on) { jumps = on; }

static long jump(void)
{
    static long number;
    return jumps ? (number++ % 7 - 3) * 3 * 365 * 86400L : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = REAL(clock_gettime)(clock, now);
    if (clock == CLOCK_REALTIME)
        now->tv_sec += jump();
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int result = REAL(gettimeofday)(now, zone);
    now->tv_sec += jump();
    return result;
}
time_t time(time_t *place)
{
    time_t now = REAL(time)(NULL) + jump();
    if (place)
        *place = now;
    return now;
}
