// A device of the kernel's direct rendering manager (DRM) that is not there: what a driver's library sees of one, as
// far as it takes to compile shaders. drm_device.c is what all have in common, one file beside it for each driver what
// it asks of its own kernel module.
#ifndef DRM_DEVICE_H
#define DRM_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <xf86drm.h>

// The file that applications would open.
#define RENDER_NODE "/dev/dri/renderD128"

// What each driver's file defines.

// The kernel module's name.
extern const char *const module_name;

// Fills in on which bus the device is, and what it is there. `device` is zeroed but for its nodes.
void describe_bus(drmDevice *device);

// Answers one of the module's own ioctls: `number` counts from DRM_COMMAND_BASE. 0, or -1 with errno.
int answer_command(unsigned number, unsigned long request, void *argument);

// What they may call.

// Memory that the driver allocates: a handle, never 0. Buffers are never freed, since a process does not live long.
uint32_t new_buffer(uint64_t size);

// Where in the device's file the driver is to map that buffer.
uint64_t buffer_offset(uint32_t handle);

// Maps it, as mmap does.
void *map_buffer(uint32_t handle, uint64_t size);

// A number that was not given before, for things of which nothing but a name is wanted.
uint32_t new_name(void);

// Memory filled with zeros; ends the process if there is none.
void *zeroed(uint64_t size);

// Ends the process, for what cannot be answered.
_Noreturn void give_up(const char *reason);

#endif
