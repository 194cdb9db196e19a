/* Preloaded into nodes whose clocks shall be wrong. A file says how: two signed 64-bit numbers, the seconds by which the wall clock is off
   and the thousandths at which the steady clock runs beyond its own pace. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct wrong {
    int64_t offset_s;
    int64_t excess_permille;
};

static const int64_t NANOS = 1000000000;
static volatile struct wrong *wrong;
static int64_t started;

static int64_t steady(void) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return now.tv_sec * NANOS + now.tv_nsec;
}

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("GPUMKT_TEST_CLOCK");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *wrong, PROT_READ, MAP_SHARED, file, 0);
    started = steady();
    if (page != MAP_FAILED) wrong = page;
    if (file >= 0) close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result != 0 || wrong == NULL) return result;
    if (clock == CLOCK_REALTIME) now->tv_sec += wrong->offset_s;
    if (clock == CLOCK_MONOTONIC && wrong->excess_permille != 0) {
        int64_t since = now->tv_sec * NANOS + now->tv_nsec - started;
        int64_t shown = started + since + since / 1000 * wrong->excess_permille;
        now->tv_sec = shown / NANOS;
        now->tv_nsec = shown % NANOS;
    }
    return result;
}
