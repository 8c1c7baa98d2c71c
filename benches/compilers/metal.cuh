// As much of Metal's standard library as naga's translations of the kernels use, for CUDA C++.
#pragma once

template <typename To, typename From> To as_type(From from) {
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    return __builtin_bit_cast(To, from);
}

namespace metal {

using uint = unsigned int;

struct bool4 {
    bool x, y, z, w;
};

// Aligned as in Metal, so that one instruction loads or stores it.
struct alignas(16) float4 {
    float x, y, z, w;

    float4() = default;
    explicit float4(float all) : x(all), y(all), z(all), w(all) {}
    float4(float x, float y, float z, float w) : x(x), y(y), z(z), w(w) {}
};

struct alignas(16) uint3 {
    uint x, y, z;

    uint3() = default;
    explicit uint3(uint all) : x(all), y(all), z(all) {}
    uint3(uint x, uint y, uint z) : x(x), y(y), z(z) {}
};

#define EACH_COMPONENT(operation)                                                                                      \
    inline float4 operator operation(float4 a, float4 b) {                                                             \
        return float4(a.x operation b.x, a.y operation b.y, a.z operation b.z, a.w operation b.w);                     \
    }                                                                                                                  \
    inline float4 operator operation(float4 a, float b) { return a operation float4(b); }                              \
    inline float4 operator operation(float a, float4 b) { return float4(a) operation b; }

EACH_COMPONENT(+)
EACH_COMPONENT(-)
EACH_COMPONENT(*)
EACH_COMPONENT(/)
#undef EACH_COMPONENT

inline float4 operator-(float4 a) {
    return float4(-a.x, -a.y, -a.z, -a.w);
}

inline bool4 operator>(float4 a, float4 b) {
    return bool4{a.x > b.x, a.y > b.y, a.z > b.z, a.w > b.w};
}

inline float4 select(float4 a, float4 b, bool4 second) {
    return float4(second.x ? b.x : a.x, second.y ? b.y : a.y, second.z ? b.z : a.z, second.w ? b.w : a.w);
}

template <typename T> T select(T a, T b, bool second) {
    return second ? b : a;
}

inline uint min(uint a, uint b) {
    return a < b ? a : b;
}

inline uint max(uint a, uint b) {
    return a < b ? b : a;
}

inline int min(int a, int b) {
    return a < b ? a : b;
}

inline int max(int a, int b) {
    return a < b ? b : a;
}

// As Metal's, of a number and what is none the number.
inline float min(float a, float b) {
    return fminf(a, b);
}

inline float max(float a, float b) {
    return fmaxf(a, b);
}

inline float4 max(float4 a, float4 b) {
    return float4(max(a.x, b.x), max(a.y, b.y), max(a.z, b.z), max(a.w, b.w));
}

template <typename T> T clamp(T value, T low, T high) {
    return min(max(value, low), high);
}

// An array in workgroup memory, at addresses of 32 bits, as it has in Vulkan. C++ would count in 64 bits, in which the
// constant part of an index of 32 bits does not become the instruction's offset.
template <unsigned int LENGTH> class Shared {
    float4 data[LENGTH];

    struct Element {
        uint address;

        operator float4() const {
            float4 value;
            asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                         : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
                         : "r"(address)
                         : "memory");
            return value;
        }

        void operator=(float4 value) {
            asm volatile("st.shared.v4.f32 [%4], {%0, %1, %2, %3};"
                         :
                         : "f"(value.x), "f"(value.y), "f"(value.z), "f"(value.w), "r"(address)
                         : "memory");
        }
    };

  public:
    Element operator[](uint index) {
        return Element{static_cast<uint>(__cvta_generic_to_shared(data)) + index * static_cast<uint>(sizeof(float4))};
    }
};

enum class mem_flags { mem_none, mem_device, mem_threadgroup };

inline void threadgroup_barrier(mem_flags) {
    __syncthreads();
}

} // namespace metal
