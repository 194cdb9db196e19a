/* Preloaded into a process whose OpenCL device shall fail. A file says which one and how: the code that its calls return from now on (0:
   none), how many launches still work before that, and how its name begins. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

struct fault {
    int32_t code;
    int32_t launches_left;
    char name[56];
};

static volatile struct fault *fault;

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("GPUMKT_TEST_DEVICE");
    int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *fault, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) fault = page;
    if (file >= 0) close(file);
}

static int is_named(cl_device_id device) {
    char name[256] = {0};
    if (fault == NULL || fault->code == CL_SUCCESS) return 0;
    if (clGetDeviceInfo(device, CL_DEVICE_NAME, sizeof name, name, NULL) != CL_SUCCESS) return 0;
    return strncmp(name, (const char *)fault->name, strlen((const char *)fault->name)) == 0;
}

static cl_int of_device(cl_device_id device) {
    return is_named(device) && fault->launches_left <= 0 ? fault->code : CL_SUCCESS;
}

static cl_device_id device_of(cl_command_queue queue) {
    cl_device_id device = NULL;
    clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof device, &device, NULL);
    return device;
}

static cl_int of_queue(cl_command_queue queue) {
    return of_device(device_of(queue));
}

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset, const size_t *global,
                              const size_t *local, cl_uint count, const cl_event *waits, cl_event *event) {
    cl_int code = of_queue(queue);
    if (code != CL_SUCCESS) return code;
    if (is_named(device_of(queue))) fault->launches_left--;
    return REAL(clEnqueueNDRangeKernel)(queue, kernel, dimensions, offset, global, local, count, waits, event);
}

cl_int clFinish(cl_command_queue queue) {
    cl_int code = of_queue(queue);
    return code != CL_SUCCESS ? code : REAL(clFinish)(queue);
}

cl_int clEnqueueReadBuffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset, size_t size, void *to, cl_uint count,
                           const cl_event *waits, cl_event *event) {
    cl_int code = of_queue(queue);
    return code != CL_SUCCESS ? code : REAL(clEnqueueReadBuffer)(queue, buffer, blocking, offset, size, to, count, waits, event);
}

cl_context clCreateContext(const cl_context_properties *properties, cl_uint count, const cl_device_id *devices,
                           void(CL_CALLBACK *told)(const char *, const void *, size_t, void *), void *data, cl_int *error) {
    cl_int code = count == 0 ? CL_SUCCESS : of_device(devices[0]);
    if (code == CL_SUCCESS) return REAL(clCreateContext)(properties, count, devices, told, data, error);
    if (error != NULL) *error = code;
    return NULL;
}
