// Simulates a device of the kernel's direct rendering manager (DRM) for a driver library, as far as needed to compile
// shaders. drm_device.c is the common part. For each driver, another file answers requests to its kernel module.
#ifndef DRM_DEVICE_H
#define DRM_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <xf86drm.h>

// The file that applications open.
#define RENDER_NODE "/dev/dri/renderD128"

// Definitions in the file of each driver.

// Name of the kernel module.
extern const char *const module_name;

// Fills in the bus information of the device. `device` is zeroed except for its nodes.
void describe_bus(drmDevice *device);

// Answers an ioctl of the module; `number` is relative to DRM_COMMAND_BASE. Returns 0, or -1 with errno.
int answer_command(unsigned number, unsigned long request, void *argument);

// Functions for these files.

// Allocates memory for the driver and returns a handle, which is never 0. Buffers are never freed, because the process
// is short-lived.
uint32_t new_buffer(uint64_t size);

// The offset in the device's file at which the driver maps that buffer.
uint64_t buffer_offset(uint32_t handle);

// Maps a buffer, as mmap does.
void *map_buffer(uint32_t handle, uint64_t size);

// A new number, for objects that need only a name.
uint32_t new_name(void);

// Allocates memory filled with zeros. Ends the process on failure.
void *zeroed(uint64_t size);

// Ends the process after a request that cannot be answered.
_Noreturn void give_up(const char *reason);

#endif
