// Answers the requests of Mesa's driver for Apple's GPUs to the kernel module `asahi`. The header of the module is
// newer than many systems, so the used arguments are declared here.
#include "drm_device.h"
#include <string.h>

// Ioctls, relative to DRM_COMMAND_BASE.
enum {
    GET_PARAMETERS = 0,
    CREATE_ADDRESS_SPACE = 2,
    CREATE_BUFFER = 5,
    OFFSET_OF_BUFFER = 6,
    BIND_OBJECT = 7,
    CREATE_QUEUE = 8,
};

struct get_parameters {
    uint32_t group, padding;
    uint64_t destination, size;
};

struct parameters {
    uint64_t features;
    uint32_t generation, variant, revision, chip;
    uint32_t dies, clusters, cores_of_cluster, kilohertz;
    uint64_t core_masks[64];
    uint64_t address_start, address_end, least_kernel_addresses;
    uint32_t most_commands, most_attachments;
    uint64_t timer_hertz;
};

struct create_address_space {
    uint64_t kernel_start, kernel_end;
    uint32_t name, padding;
};

struct create_buffer {
    uint64_t size;
    uint32_t flags, address_space, handle, padding;
};

struct offset_of_buffer {
    uint32_t handle, flags;
    uint64_t offset;
};

struct bind_object {
    uint32_t operation, flags, handle, address_space;
    uint64_t offset, range;
    uint32_t name, padding;
};

struct create_queue {
    uint32_t flags, address_space, priority, name;
};

const char *const module_name = "asahi";

// The M1: one cluster of eight cores.
static const struct parameters M1 = {
    .generation = 13,
    .variant = 'G',
    .chip = 0x8103,
    .dies = 1,
    .clusters = 1,
    .cores_of_cluster = 8,
    .kilohertz = 1278000,
    .core_masks = {0xff},
    .address_start = 0x4000,
    .address_end = 0x7fffff8000,
    .least_kernel_addresses = 0x100000,
    .most_commands = 64,
    .most_attachments = 16,
    .timer_hertz = 1000000000,
};

void describe_bus(drmDevice *device) {
    device->bustype = DRM_BUS_PLATFORM;
    device->businfo.platform = zeroed(sizeof *device->businfo.platform);
    strcpy(device->businfo.platform->fullname, "/soc/gpu");
    device->deviceinfo.platform = zeroed(sizeof *device->deviceinfo.platform);
    // A list that ends with NULL.
    device->deviceinfo.platform->compatible = zeroed(2 * sizeof(char *));
    device->deviceinfo.platform->compatible[0] = strdup("apple,agx-g13g");
}

int answer_command(unsigned number, unsigned long request, void *argument) {
    (void)request;
    switch (number) {
    case GET_PARAMETERS: {
        struct get_parameters *asked = argument;
        memcpy((void *)(uintptr_t)asked->destination, &M1, asked->size < sizeof M1 ? asked->size : sizeof M1);
        break;
    }
    case CREATE_ADDRESS_SPACE:
        ((struct create_address_space *)argument)->name = new_name();
        break;
    case CREATE_BUFFER: {
        struct create_buffer *asked = argument;
        asked->handle = new_buffer(asked->size);
        break;
    }
    case OFFSET_OF_BUFFER: {
        struct offset_of_buffer *asked = argument;
        asked->offset = buffer_offset(asked->handle);
        break;
    }
    case BIND_OBJECT:
        ((struct bind_object *)argument)->name = new_name();
        break;
    case CREATE_QUEUE:
        ((struct create_queue *)argument)->name = new_name();
        break;
    }
    // The other requests return no data.
    return 0;
}
