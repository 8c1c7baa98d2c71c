// A Vulkan driver that is lavapipe but for some calls of one function, which fail: what the tests of faults run on.
//
//   FAILING_DRIVER=/path/of/the/real/driver.so FAILING_CALLS=vkQueueSubmit:3:1:-4
//
// fails the third call of vkQueueSubmit, one call, with VK_ERROR_DEVICE_LOST. It is built with
// `cc -shared -fPIC -Wl,-z,nodelete`, so that it counts on when the loader has let go of it; no headers are needed.
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*Function)(void);
typedef Function (*Lookup)(void *, const char *);
// Every function failed here takes at most six pointers or integers and returns a VkResult.
typedef int32_t (*Call)(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);

static Lookup instance_lookup, device_lookup, physical_lookup;
static char name[64];
static int first, count, code;
static Call original;
static atomic_int calls;

static int32_t failing(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f) {
    int call = atomic_fetch_add(&calls, 1) + 1;
    if (call >= first && call - first < count) return code;
    return original(a, b, c, d, e, f);
}

// The function, or the failing one in its place: also under the name of the extension it comes from.
static Function found(Function function, const char *asked) {
    size_t length = strlen(name);
    if (!function || strncmp(asked, name, length) || (asked[length] && strcmp(asked + length, "KHR"))) return function;
    original = (Call)function;
    return (Function)failing;
}

static Function of_device(void *device, const char *asked) {
    return found(device_lookup(device, asked), asked);
}

static void *load(const char *symbol) {
    static void *driver;
    if (!driver) {
        driver = dlopen(getenv("FAILING_DRIVER"), RTLD_NOW | RTLD_LOCAL);
        if (!driver || sscanf(getenv("FAILING_CALLS"), "%63[^:]:%d:%d:%d", name, &first, &count, &code) != 4) abort();
    }
    return dlsym(driver, symbol);
}

Function vk_icdGetInstanceProcAddr(void *instance, const char *asked) {
    if (!instance_lookup) instance_lookup = (Lookup)load("vk_icdGetInstanceProcAddr");
    Function function = instance_lookup(instance, asked);
    if (function && !strcmp(asked, "vkGetDeviceProcAddr")) {
        device_lookup = (Lookup)function;
        return (Function)of_device;
    }
    return found(function, asked);
}

Function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *asked) {
    if (!physical_lookup) physical_lookup = (Lookup)load("vk_icdGetPhysicalDeviceProcAddr");
    return physical_lookup ? physical_lookup(instance, asked) : NULL;
}

int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
    return ((int32_t(*)(uint32_t *))load("vk_icdNegotiateLoaderICDInterfaceVersion"))(version);
}
