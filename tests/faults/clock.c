/* Between a program and its wall clock: adds as many seconds as the file in HOTPAIR_TEST_CLOCK says. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    const char *file = getenv("HOTPAIR_TEST_CLOCK");
    if (clock == CLOCK_REALTIME && result == 0 && file) {
        char text[32] = {0};
        int opened = open(file, O_RDONLY | O_CLOEXEC);
        if (opened >= 0) {
            if (read(opened, text, sizeof text - 1) > 0) now->tv_sec += strtol(text, NULL, 10);
            close(opened);
        }
    }
    return result;
}
