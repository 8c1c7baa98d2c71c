// Functions of the C library and of libdrm that LD_PRELOAD puts before the real ones. They simulate one render node,
// and forward all calls for other files. Buffers are memory of the process. Submitted work is accepted, but never
// executed.
#define _GNU_SOURCE
#include "drm_device.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

// The numbers of render nodes in Linux: the major number, and the first minor number.
#define DRM_MAJOR 226
#define FIRST_RENDER_MINOR 128

// More than a driver uses while it compiles.
#define MOST_FILES 4096
#define MOST_BUFFERS 65536

// The function of this name that is called without this library.
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static atomic_bool is_node[MOST_FILES];
// Buffers by handle. Handle 0 is not a buffer.
static int buffer_files[MOST_BUFFERS];
static atomic_uint last_buffer, last_name;

_Noreturn void give_up(const char *reason) {
    fprintf(stderr, "error: the device that is not there: %s\n", reason);
    _exit(1);
}

void *zeroed(uint64_t size) {
    void *memory = calloc(1, size);
    if (!memory) {
        give_up("no memory");
    }
    return memory;
}

uint32_t new_name(void) { return ++last_name; }

// A file in memory, which uses only as much memory as is written.
static int memory_file(uint64_t size) {
    int file = memfd_create("drm", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, (off_t)size) != 0) {
        give_up("no file in memory");
    }
    return file;
}

uint32_t new_buffer(uint64_t size) {
    uint32_t handle = ++last_buffer;
    if (handle >= MOST_BUFFERS) {
        give_up("too many buffers");
    }
    buffer_files[handle] = memory_file(size);
    return handle;
}

static int buffer_file(uint64_t handle) {
    if (handle == 0 || handle >= MOST_BUFFERS || handle > last_buffer) {
        give_up("no buffer has this handle");
    }
    return buffer_files[handle];
}

uint64_t buffer_offset(uint32_t handle) { return (uint64_t)handle << 32; }

void *map_buffer(uint32_t handle, uint64_t size) {
    return NEXT(mmap64)(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer_file(handle), 0);
}

// Files. The node is a file in memory, so that its descriptor is unique.

static bool is_ours(int file) { return file >= 0 && file < MOST_FILES && is_node[file]; }

static int mark(int file) {
    if (file >= MOST_FILES) {
        give_up("too many files");
    }
    if (file >= 0) {
        is_node[file] = true;
    }
    return file;
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    // The argument exists only with O_CREAT, and is not read otherwise.
    int mode = va_arg(arguments, int);
    va_end(arguments);
    return strcmp(path, RENDER_NODE) == 0 ? mark(memory_file(0)) : NEXT(open64)(path, flags, mode);
}

int close(int file) {
    if (is_ours(file)) {
        is_node[file] = false;
    }
    return NEXT(close)(file);
}

int fcntl64(int file, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    int result = NEXT(fcntl64)(file, command, argument);
    bool duplicates = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    return duplicates && is_ours(file) ? mark(result) : result;
}

static void describe_node(struct stat64 *status) {
    status->st_mode = S_IFCHR | 0666;
    status->st_rdev = makedev(DRM_MAJOR, FIRST_RENDER_MINOR);
}

int stat64(const char *path, struct stat64 *status) {
    if (strcmp(path, RENDER_NODE) != 0) {
        return NEXT(stat64)(path, status);
    }
    memset(status, 0, sizeof *status);
    describe_node(status);
    return 0;
}

int fstat64(int file, struct stat64 *status) {
    int result = NEXT(fstat64)(file, status);
    if (result == 0 && is_ours(file)) {
        describe_node(status);
    }
    return result;
}

// Drivers map buffers from the node. The offset identifies the buffer.
void *mmap64(void *address, size_t size, int protection, int flags, int file, off64_t offset) {
    if (is_ours(file)) {
        file = buffer_file((uint64_t)offset >> 32);
        offset = 0;
        flags = MAP_SHARED | (flags & MAP_FIXED);
    }
    return NEXT(mmap64)(address, size, protection, flags, file, offset);
}

// Requests that all kernel modules answer in the same way. Fences are names, and always signalled.
static int answer_common(unsigned long request, void *argument) {
    switch (request) {
    case DRM_IOCTL_GET_CAP:
        ((struct drm_get_cap *)argument)->value = 1;
        break;
    case DRM_IOCTL_SYNCOBJ_CREATE:
        ((struct drm_syncobj_create *)argument)->handle = new_name();
        break;
    }
    return 0;
}

int ioctl(int file, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (!is_ours(file)) {
        return NEXT(ioctl)(file, request, argument);
    }
    unsigned number = _IOC_NR(request);
    if (number >= DRM_COMMAND_BASE && number < DRM_COMMAND_END) {
        return answer_command(number - DRM_COMMAND_BASE, request, argument);
    }
    return answer_common(request, argument);
}

// The functions of libdrm that list devices. The real ones read /sys, which has no such device.

static drmDevice *new_device(void) {
    drmDevice *device = zeroed(sizeof *device);
    device->nodes = zeroed(DRM_NODE_MAX * sizeof *device->nodes);
    device->nodes[DRM_NODE_RENDER] = strdup(RENDER_NODE);
    // Intel's driver reads this node whether it is available or not.
    device->nodes[DRM_NODE_PRIMARY] = strdup(RENDER_NODE);
    device->available_nodes = 1 << DRM_NODE_RENDER;
    describe_bus(device);
    return device;
}

int drmGetDevices2(uint32_t flags, drmDevicePtr devices[], int count) {
    (void)flags;
    if (devices && count > 0) {
        devices[0] = new_device();
    }
    return 1;
}

int drmGetDevice2(int file, uint32_t flags, drmDevicePtr *device) {
    (void)file, (void)flags;
    *device = new_device();
    return 0;
}

int drmGetDeviceFromDevId(dev_t id, uint32_t flags, drmDevicePtr *device) {
    (void)id;
    return drmGetDevice2(-1, flags, device);
}

// Nothing is freed: the functions of libdrm would free memory that they have not allocated, as one block.
void drmFreeDevice(drmDevicePtr *device) { *device = NULL; }

void drmFreeDevices(drmDevicePtr devices[], int count) { (void)devices, (void)count; }

drmVersionPtr drmGetVersion(int file) {
    (void)file;
    drmVersion *version = zeroed(sizeof *version);
    version->version_major = 1;
    version->name = strdup(module_name);
    version->name_len = (int)strlen(module_name);
    version->date = strdup("");
    version->desc = strdup("");
    return version;
}

void drmFreeVersion(drmVersionPtr version) { (void)version; }
