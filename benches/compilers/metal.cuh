// The subset of Metal's standard library that naga's translations of the kernels use, for CUDA C++.
#pragma once

template <typename To, typename From> To as_type(From from) {
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    return __builtin_bit_cast(To, from);
}

namespace metal {

using uint = unsigned int;

// Aligned as in Metal, so that one instruction loads or stores a vector.
template <typename T, int N> struct Vector;

template <typename T> struct alignas(2 * sizeof(T)) Vector<T, 2> {
    T x, y;

    Vector() = default;
    explicit Vector(T all) : x(all), y(all) {}
    Vector(T x, T y) : x(x), y(y) {}
};

template <typename T> struct alignas(4 * sizeof(T)) Vector<T, 3> {
    T x, y, z;

    Vector() = default;
    explicit Vector(T all) : x(all), y(all), z(all) {}
    Vector(T x, T y, T z) : x(x), y(y), z(z) {}
};

template <typename T> struct alignas(4 * sizeof(T)) Vector<T, 4> {
    T x, y, z, w;

    Vector() = default;
    explicit Vector(T all) : x(all), y(all), z(all), w(all) {}
    Vector(T x, T y, T z, T w) : x(x), y(y), z(z), w(w) {}
};

using float2 = Vector<float, 2>;
using float3 = Vector<float, 3>;
using float4 = Vector<float, 4>;
using int2 = Vector<int, 2>;
using int3 = Vector<int, 3>;
using int4 = Vector<int, 4>;
using uint2 = Vector<uint, 2>;
using uint3 = Vector<uint, 3>;
using uint4 = Vector<uint, 4>;

// Applies a function to every component.
template <typename F, typename... T> auto each(F f, Vector<T, 2>... v) {
    return Vector<decltype(f(v.x...)), 2>(f(v.x...), f(v.y...));
}

template <typename F, typename... T> auto each(F f, Vector<T, 3>... v) {
    return Vector<decltype(f(v.x...)), 3>(f(v.x...), f(v.y...), f(v.z...));
}

template <typename F, typename... T> auto each(F f, Vector<T, 4>... v) {
    return Vector<decltype(f(v.x...)), 4>(f(v.x...), f(v.y...), f(v.z...), f(v.w...));
}

#define OPERATOR(operation)                                                                                            \
    template <typename T, int N> auto operator operation(Vector<T, N> a, Vector<T, N> b) {                             \
        return each([](T a, T b) { return a operation b; }, a, b);                                                     \
    }                                                                                                                  \
    template <typename T, int N> auto operator operation(Vector<T, N> a, T b) { return a operation Vector<T, N>(b); }  \
    template <typename T, int N> auto operator operation(T a, Vector<T, N> b) { return Vector<T, N>(a) operation b; }

OPERATOR(+)
OPERATOR(-)
OPERATOR(*)
OPERATOR(/)
OPERATOR(%)
OPERATOR(<)
OPERATOR(<=)
OPERATOR(>)
OPERATOR(>=)
OPERATOR(==)
OPERATOR(!=)
#undef OPERATOR

template <typename T, int N> Vector<T, N> operator-(Vector<T, N> v) {
    return each([](T value) { return -value; }, v);
}

template <typename T> T select(T a, T b, bool second) {
    return second ? b : a;
}

template <typename T, int N> Vector<T, N> select(Vector<T, N> a, Vector<T, N> b, Vector<bool, N> second) {
    return each([](T a, T b, bool second) { return second ? b : a; }, a, b, second);
}

template <typename T> T min(T a, T b) {
    return b < a ? b : a;
}

template <typename T> T max(T a, T b) {
    return a < b ? b : a;
}

// As in Metal, for a number and NaN the result is the number.
inline float min(float a, float b) {
    return fminf(a, b);
}

inline float max(float a, float b) {
    return fmaxf(a, b);
}

template <typename T, int N> Vector<T, N> min(Vector<T, N> a, Vector<T, N> b) {
    return each([](T a, T b) { return min(a, b); }, a, b);
}

template <typename T, int N> Vector<T, N> max(Vector<T, N> a, Vector<T, N> b) {
    return each([](T a, T b) { return max(a, b); }, a, b);
}

template <typename T> T clamp(T value, T low, T high) {
    return min(max(value, low), high);
}

// An array in workgroup memory with 32-bit addresses, as in Vulkan. C++ would use 64-bit addresses, for which the
// compiler does not move the constant part of a 32-bit index to the offset of the instruction.
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
