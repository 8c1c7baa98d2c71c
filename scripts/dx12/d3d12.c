/* d3d12.dll for Wine: Direct3D 12 by vkd3d on the first Vulkan device, without a surface to draw on.
 *
 * Wine has such a library, but it builds vkd3d without the DXIL parser, which limits it to shader model 5.1, and it
 * asks Vulkan for a window, which needs a display. scripts/wine builds this library from the same sources. */

#define COBJMACROS
#include <windows.h>
#include <initguid.h>
#include <d3d12.h>
#include <dxgi1_6.h>
#include <stdio.h>
#include <wine/vulkan.h>
#define VKD3D_NO_VULKAN_H
#define VKD3D_NO_WIN32_TYPES
#include <vkd3d.h>

static HRESULT signal_event(HANDLE event)
{
    return SetEvent(event) ? S_OK : E_FAIL;
}

static HRESULT failed(const char *what, HRESULT result)
{
    fprintf(stderr, "d3d12: %s failed with %08lx\n", what, result);
    return result;
}

/* The adapter's LUID as DXGI reports it. */
static LUID adapter_luid(IUnknown *adapter)
{
    LUID luid = {0};
    DXGI_ADAPTER_DESC desc;
    IDXGIAdapter *dxgi;

    if (adapter && SUCCEEDED(IUnknown_QueryInterface(adapter, &IID_IDXGIAdapter, (void **)&dxgi)))
    {
        if (SUCCEEDED(IDXGIAdapter_GetDesc(dxgi, &desc)))
            luid = desc.AdapterLuid;
        IDXGIAdapter_Release(dxgi);
    }
    return luid;
}

HRESULT WINAPI D3D12CreateDevice(IUnknown *adapter, D3D_FEATURE_LEVEL level, REFIID iid, void **device)
{
    static const char *const wanted[] = {
        "VK_KHR_external_memory_capabilities",
        "VK_KHR_get_physical_device_properties2",
    };
    const struct vkd3d_application_info application = {
        .type = VKD3D_STRUCTURE_TYPE_APPLICATION_INFO,
        .api_version = VKD3D_API_VERSION_1_14,
    };
    const struct vkd3d_optional_instance_extensions_info extensions = {
        .type = VKD3D_STRUCTURE_TYPE_OPTIONAL_INSTANCE_EXTENSIONS_INFO,
        .next = &application,
        .extensions = wanted,
        .extension_count = ARRAYSIZE(wanted),
    };
    struct vkd3d_instance_create_info instance_info = {
        .type = VKD3D_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .next = &extensions,
        .pfn_signal_event = signal_event,
        .wchar_size = sizeof(WCHAR),
    };
    struct vkd3d_device_create_info device_info = {
        .type = VKD3D_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .minimum_feature_level = level,
        .parent = adapter,
        .adapter_luid = adapter_luid(adapter),
    };
    HMODULE vulkan = LoadLibraryA("vulkan-1.dll");
    HRESULT result;

    if (!vulkan)
        return failed("loading vulkan-1.dll", E_FAIL);
    instance_info.pfn_vkGetInstanceProcAddr = (void *)GetProcAddress(vulkan, "vkGetInstanceProcAddr");
    if (FAILED(result = vkd3d_create_instance(&instance_info, &device_info.instance)))
        return failed("creating an instance", result);
    if (FAILED(result = vkd3d_create_device(&device_info, iid, device)))
        failed("creating a device", result);
    vkd3d_instance_decref(device_info.instance);
    return result;
}

HRESULT WINAPI D3D12GetDebugInterface(REFIID iid, void **debug)
{
    return DXGI_ERROR_SDK_COMPONENT_MISSING;
}

HRESULT WINAPI D3D12EnableExperimentalFeatures(UINT count, const IID *iids, void *configurations, UINT *sizes)
{
    return E_NOINTERFACE;
}

HRESULT WINAPI D3D12CreateRootSignatureDeserializer(const void *data, SIZE_T size, REFIID iid, void **deserializer)
{
    return vkd3d_create_root_signature_deserializer(data, size, iid, deserializer);
}

HRESULT WINAPI D3D12CreateVersionedRootSignatureDeserializer(const void *data, SIZE_T size, REFIID iid,
                                                             void **deserializer)
{
    return vkd3d_create_versioned_root_signature_deserializer(data, size, iid, deserializer);
}

HRESULT WINAPI D3D12SerializeRootSignature(const D3D12_ROOT_SIGNATURE_DESC *desc, D3D_ROOT_SIGNATURE_VERSION version,
                                           ID3DBlob **blob, ID3DBlob **error)
{
    return vkd3d_serialize_root_signature(desc, version, blob, error);
}

HRESULT WINAPI D3D12SerializeVersionedRootSignature(const D3D12_VERSIONED_ROOT_SIGNATURE_DESC *desc, ID3DBlob **blob,
                                                    ID3DBlob **error)
{
    return vkd3d_serialize_versioned_root_signature(desc, blob, error);
}
