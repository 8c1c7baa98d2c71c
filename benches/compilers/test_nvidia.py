"""Tests `nvidia.py` without NVIDIA's tools: the translation from Metal to CUDA C++, and the parsers of their output.

    python3 -m unittest discover -s benches/compilers
"""

from __future__ import annotations

import unittest

import nvidia

METAL = """// language: metal2.3
#include <metal_stdlib>

using metal::uint;

typedef metal::float4 type_1[1];
constant uint STAGE = 4u;
constant float A = 0.625;

float at(
    uint index,
    device type_1 const& input,
    constant Params& p
) {
    return A * input[index].x + 1e10;
}

struct type_2 {
    metal::float4 inner[512];
};
struct type_3 {
    metal::float4 inner[4];
};
struct main_Input {
};
[[max_total_threads_per_threadgroup(64)]] kernel void main_(
  metal::uint3 workgroup [[threadgroup_position_in_grid]]
, uint index [[thread_index_in_threadgroup]]
, constant Params& p [[buffer(0)]]
, device type_1 const& input [[buffer(1)]]
, device type_1& output [[buffer(2)]]
, threadgroup type_2& staged
) {
    output[index] = metal::float4(0.0);
}
"""

SASS = """
main_:
.text.main_:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/                   LDS.128 R4, [R2] ;
.L_x_0:
        /*0020*/                   FFMA R8, R4, R5, R8 ;
        /*0030*/                   IADD3 R3, R3, 0x1, RZ ;
        /*0040*/               @P0 BRA `(.L_x_0) ;
        /*0050*/             @!UP1 BRA `(.L_x_1) ;
        /*0060*/               @P2 BRA `(.L_x_2) ;
        /*0070*/                   STG.E.128 desc[UR4][R2.64], R8 ;
.L_x_2:
        /*0080*/                   EXIT ;
        /*0090*/                   NOP;
"""


class Translation(unittest.TestCase):
    def test_a_kernel_is_translated(self) -> None:
        translated = nvidia.translate(METAL)
        self.assertEqual(translated.invocations, 64)
        for line in [
            "static constexpr uint STAGE = 4u;",
            "static constexpr float A = 0.625f;",
            "    type_1 const& __restrict__ input,",
            "    Params const& p",
            "    return A * input[index].x + 1e10f;",
            'extern "C" __global__ void __launch_bounds__(64) main_(',
            "    const __grid_constant__ Params p,",
            "    type_1 const* __restrict__ input_pointer,",
            "    type_1* __restrict__ output_pointer",
            "    metal::uint3 workgroup = metal::uint3(blockIdx.x, blockIdx.y, blockIdx.z);",
            "    uint index = threadIdx.x;",
            "    type_1& __restrict__ output = *output_pointer;",
            "    __shared__ type_2 staged;",
            "    metal::Shared<512> inner;",
            "    metal::float4 inner[4];",
            "    output[index] = metal::float4(0.0f);",
        ]:
            self.assertIn(f"{line}\n", translated.text)
        self.assertNotIn("metal_stdlib", translated.text)

    def test_unknown_code_is_refused(self) -> None:
        for unknown in [METAL.replace("kernel void", "void"), METAL.replace("thread_index_in_threadgroup", "other")]:
            with self.assertRaises(nvidia.Failure):
                nvidia.translate(unknown)


class Analysis(unittest.TestCase):
    def test_the_inner_loop_is_the_smallest_with_all_products(self) -> None:
        program = nvidia.program(SASS)
        self.assertEqual(len(program.instructions), 9)
        self.assertEqual([instruction.name for instruction in program.product_loop()], ["FFMA", "IADD3", "BRA"])
        self.assertEqual(nvidia.program("").product_loop(), [])

    def test_usage(self) -> None:
        text = " Function main_:\n  REG:225 STACK:16 SHARED:17408 LOCAL:0 CONSTANT[0]:788 TEXTURE:0\n"
        self.assertEqual(nvidia.usage(text), nvidia.Usage(225, 16, 17408))
        with self.assertRaises(nvidia.Failure):
            nvidia.usage("")

    def test_room_for_workgroups(self) -> None:
        ada, hopper = nvidia.GPUS["ada"], nvidia.GPUS["hopper"]
        # By registers: 2 subgroups for each of 4 schedulers with 225, 3 with 168.
        self.assertEqual(hopper.workgroups_at_once(64, 225, 16384), 4)
        self.assertEqual(hopper.workgroups_at_once(128, 168, 12288), 3)
        # By shared memory, by subgroups, by workgroups.
        self.assertEqual(ada.workgroups_at_once(64, 32, 16384), 5)
        self.assertEqual(ada.workgroups_at_once(256, 32, 0), 6)
        self.assertEqual(hopper.workgroups_at_once(32, 14, 0), 32)


if __name__ == "__main__":
    unittest.main()
