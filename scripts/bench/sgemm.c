/* How many multiply-adds OpenBLAS does per second of a core: the best of some products of two n x n matrices of floats, on one thread.
 * Usage: sgemm N RUNS. Prints "GMAC/s core-name", or nothing and exit code 3 where OpenBLAS is not installed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef void (*gemm)(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int count, char **arguments)
{
    int n = count > 1 ? atoi(arguments[1]) : 2048, runs = count > 2 ? atoi(arguments[2]) : 5;
    void *library = dlopen("libopenblas.so.0", RTLD_NOW);
    if (!library)
        return 3;
    gemm multiply = (gemm)dlsym(library, "cblas_sgemm");
    const char *(*core_name)(void) = (const char *(*)(void))dlsym(library, "openblas_get_corename");
    size_t entries = (size_t)n * n;
    float *a = malloc(entries * sizeof *a), *b = malloc(entries * sizeof *b), *c = calloc(entries, sizeof *c);
    if (!multiply || !a || !b || !c)
        return 1;
    for (size_t i = 0; i < entries; i++) {
        a[i] = (float)(i * 7 % 64);
        b[i] = (float)(i * 5 % 64);
    }
    double best = 0;
    for (int run = 0; run < runs; run++) {
        double started = cpu_seconds();
        multiply(101, 111, 111, n, n, n, 1.0f, a, n, b, n, 0.0f, c, n);
        double rate = (double)n * n * n / (cpu_seconds() - started) / 1e9;
        if (rate > best)
            best = rate;
    }
    printf("%.3f %s\n", best, core_name ? core_name() : "unknown");
    return 0;
}
