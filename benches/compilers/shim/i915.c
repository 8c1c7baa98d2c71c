// Answers the requests of Mesa's driver for Intel's GPUs to the kernel module `i915`. PRETEND_PCI_ID selects the GPU.
#include "drm_device.h"
#include <errno.h>
#include <i915_drm.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])
#define INTEL 0x8086
#define BITS_OF_BYTE 8

const char *const module_name = "i915";

// GPUs with one slice, with the driver's counts of units.
struct gpu {
    unsigned pci_id, subslices, units_of_subslice;
};

static const struct gpu GPUS[] = {
    // Skylake GT2: HD Graphics 530.
    {0x1912, 3, 8},
    // Tiger Lake GT2: Xe Graphics with 96 units.
    {0x9a49, 6, 16},
};

static const struct gpu *pretended(void) {
    const char *text = getenv("PRETEND_PCI_ID");
    unsigned long id = text ? strtoul(text, NULL, 16) : 0;
    for (size_t i = 0; i < LENGTH(GPUS); i++) {
        if (GPUS[i].pci_id == id) {
            return &GPUS[i];
        }
    }
    give_up("PRETEND_PCI_ID has to be the number of a GPU in i915.c, such as 1912");
}

void describe_bus(drmDevice *device) {
    device->bustype = DRM_BUS_PCI;
    device->businfo.pci = zeroed(sizeof *device->businfo.pci);
    device->businfo.pci->dev = 2;
    device->deviceinfo.pci = zeroed(sizeof *device->deviceinfo.pci);
    device->deviceinfo.pci->vendor_id = INTEL;
    device->deviceinfo.pci->device_id = (uint16_t)pretended()->pci_id;
}

static int parameter(int32_t name) {
    switch (name) {
    case I915_PARAM_CHIPSET_ID:
        return (int)pretended()->pci_id;
    case I915_PARAM_REVISION:
        // A revision after those with faults that the driver works around.
        return 0x10;
    case I915_PARAM_SUBSLICE_TOTAL:
        return (int)pretended()->subslices;
    case I915_PARAM_EU_TOTAL:
        return (int)(pretended()->subslices * pretended()->units_of_subslice);
    case I915_PARAM_SUBSLICE_MASK:
        return (1 << pretended()->subslices) - 1;
    case I915_PARAM_CS_TIMESTAMP_FREQUENCY:
        return 19200000;
    case I915_PARAM_HAS_ALIASING_PPGTT:
        // Each process has a separate 48-bit address space.
        return 3;
    case I915_PARAM_MMAP_VERSION:
    case I915_PARAM_MMAP_GTT_VERSION:
        return 4;
    case I915_PARAM_CMD_PARSER_VERSION:
        return 10;
    case I915_PARAM_HAS_USERPTR_PROBE:
        return 0;
    default:
        // The feature exists.
        return 1;
    }
}

// Drivers ask twice: with length 0 for the length, then for the answer. Returns whether this is the second time.
static bool wants_answer(struct drm_i915_query_item *item, int32_t length) {
    bool asked = item->length != 0;
    if (asked && item->length < length) {
        item->length = -EINVAL;
        return false;
    }
    item->length = length;
    if (asked) {
        memset((void *)(uintptr_t)item->data_ptr, 0, (size_t)length);
    }
    return asked;
}

// All subslices and units exist: three successive bit fields.
static void query_topology(struct drm_i915_query_item *item) {
    unsigned subslices = pretended()->subslices, units = pretended()->units_of_subslice;
    unsigned subslice_stride = (subslices + BITS_OF_BYTE - 1) / BITS_OF_BYTE;
    unsigned unit_stride = (units + BITS_OF_BYTE - 1) / BITS_OF_BYTE;
    unsigned subslice_offset = 1, unit_offset = subslice_offset + subslice_stride;
    struct drm_i915_query_topology_info *answer = (void *)(uintptr_t)item->data_ptr;
    if (!wants_answer(item, (int32_t)(sizeof *answer + unit_offset + subslices * unit_stride))) {
        return;
    }
    answer->max_slices = 1;
    answer->max_subslices = (uint16_t)subslices;
    answer->max_eus_per_subslice = (uint16_t)units;
    answer->subslice_offset = (uint16_t)subslice_offset;
    answer->subslice_stride = (uint16_t)subslice_stride;
    answer->eu_offset = (uint16_t)unit_offset;
    answer->eu_stride = (uint16_t)unit_stride;
    answer->data[0] = 1;
    for (unsigned subslice = 0; subslice < subslices; subslice++) {
        answer->data[subslice_offset + subslice / BITS_OF_BYTE] |= (uint8_t)(1 << subslice % BITS_OF_BYTE);
        for (unsigned unit = 0; unit < units; unit++) {
            uint8_t *bits = &answer->data[unit_offset + subslice * unit_stride];
            bits[unit / BITS_OF_BYTE] |= (uint8_t)(1 << unit % BITS_OF_BYTE);
        }
    }
}

static void query_engines(struct drm_i915_query_item *item) {
    static const uint16_t ENGINES[] = {I915_ENGINE_CLASS_RENDER, I915_ENGINE_CLASS_COPY};
    struct drm_i915_query_engine_info *answer = (void *)(uintptr_t)item->data_ptr;
    if (wants_answer(item, sizeof *answer + LENGTH(ENGINES) * sizeof answer->engines[0])) {
        answer->num_engines = LENGTH(ENGINES);
        for (size_t i = 0; i < LENGTH(ENGINES); i++) {
            answer->engines[i].engine.engine_class = ENGINES[i];
        }
    }
}

// 8 GiB of system memory.
static void query_memory(struct drm_i915_query_item *item) {
    struct drm_i915_query_memory_regions *answer = (void *)(uintptr_t)item->data_ptr;
    if (wants_answer(item, sizeof *answer + sizeof answer->regions[0])) {
        answer->num_regions = 1;
        answer->regions[0].region.memory_class = I915_MEMORY_CLASS_SYSTEM;
        answer->regions[0].probed_size = answer->regions[0].unallocated_size = 8ull << 30;
    }
}

static void query(const struct drm_i915_query *asked) {
    struct drm_i915_query_item *items = (void *)(uintptr_t)asked->items_ptr;
    for (uint32_t i = 0; i < asked->num_items; i++) {
        switch (items[i].query_id) {
        case DRM_I915_QUERY_TOPOLOGY_INFO:
            query_topology(&items[i]);
            break;
        case DRM_I915_QUERY_ENGINE_INFO:
            query_engines(&items[i]);
            break;
        case DRM_I915_QUERY_MEMORY_REGIONS:
            query_memory(&items[i]);
            break;
        default:
            items[i].length = -EINVAL;
        }
    }
}

int answer_command(unsigned number, unsigned long request, void *argument) {
    switch (number) {
    case DRM_I915_GETPARAM: {
        struct drm_i915_getparam *asked = argument;
        *asked->value = parameter(asked->param);
        break;
    }
    case DRM_I915_QUERY:
        query(argument);
        break;
    case DRM_I915_GEM_CREATE: {
        struct drm_i915_gem_create *asked = argument;
        asked->handle = new_buffer(asked->size);
        break;
    }
    case DRM_I915_GEM_USERPTR: {
        struct drm_i915_gem_userptr *asked = argument;
        asked->handle = new_buffer(asked->user_size);
        break;
    }
    case DRM_I915_GEM_MMAP: {
        // The oldest way to map memory, in which the kernel maps it.
        struct drm_i915_gem_mmap *asked = argument;
        asked->addr_ptr = (uintptr_t)map_buffer(asked->handle, asked->size);
        break;
    }
    case DRM_I915_GEM_MMAP_GTT: {
        // Two ioctls have this number. Both structures begin with the handle and have the offset at the same position.
        struct drm_i915_gem_mmap_offset *asked = argument;
        asked->offset = buffer_offset(asked->handle);
        break;
    }
    case DRM_I915_GEM_CONTEXT_CREATE: {
        struct drm_i915_gem_context_create *asked = argument;
        asked->ctx_id = new_name();
        break;
    }
    case DRM_I915_GEM_CONTEXT_GETPARAM: {
        struct drm_i915_gem_context_param *asked = argument;
        asked->value = asked->param == I915_CONTEXT_PARAM_GTT_SIZE ? 1ull << 48 : 0;
        break;
    }
    case DRM_I915_GEM_VM_CREATE: {
        struct drm_i915_gem_vm_control *asked = argument;
        asked->vm_id = new_name();
        break;
    }
    case DRM_I915_REG_READ: {
        struct drm_i915_reg_read *asked = argument;
        asked->val = 1000;
        break;
    }
    case DRM_I915_GEM_GET_APERTURE: {
        struct drm_i915_gem_get_aperture *asked = argument;
        asked->aper_size = asked->aper_available_size = 1ull << 48;
        break;
    }
    }
    (void)request;
    // The other requests return no data.
    return 0;
}
