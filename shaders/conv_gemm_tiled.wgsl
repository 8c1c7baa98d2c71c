// Implicit-GEMM convolution through workgroup memory, for GPUs.
//
// A workgroup of 64 invocations computes 64 output channels by 64 output positions, each invocation 8 by 8 of them. The
// products run over entries (tap, input quad) in the order of the weights; STAGE entries at a time are staged in workgroup
// memory, every value loaded once for the whole workgroup.
//
// Invocation (row, column) of the 8 x 8 has the channel quads row and row + 8, and the positions column + 8 * j:
// neighbouring invocations read neighbouring words of workgroup memory.
//
// Grid: one workgroup for each (batch, run of 64 positions, block of 64 output channels), blocks fastest, folded into x
// and y. Shared code: shared/conv_gemm.wgsl, with blocks of 16 vec4 and weights in the order of conv_gemm.wgsl. The prelude declares: const STAGE: u32.

var<workgroup> staged_inputs: array<vec4<f32>, STAGE * 64u>;
var<workgroup> staged_weights: array<vec4<f32>, STAGE * 64u>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = workgroup.y * p.grid_x + workgroup.x;
    if index >= p.workgroups {
        return;
    }
    let part = part_of(index, 64u);
    let first = part.first;
    let row = lane / 8u;
    let column = lane % 8u;

    let own = field();
    var sums: array<array<vec4<f32>, 2>, 8>;
    // unroll
    for (var j = 0u; j < 8u; j++) {
        // unroll
        for (var q = 0u; q < 2u; q++) {
            sums[j][q] = bias[part.block * 16u + q * 8u + row];
        }
    }

    // What this invocation stages: the inputs of one position. Beyond the last position the last is staged once more.
    let origin = origin_at(min(first + lane, part.end - 1u));
    var tap = vec3(0u);
    var quad = 0u;
    var quads = quads_at(own, origin, tap.x, tap.y, tap.z);

    let entries = own.window.kernel_t * own.window.kernel_h * own.window.kernel_w * own.in_quads;
    for (var entry = 0u; entry < entries; entry += STAGE) {
        for (var s = 0u; s < STAGE; s++) {
            var value = vec4(0.0);
            var weight = vec4(0.0);
            if entry + s < entries {
                if quads != OUTSIDE {
                    value = input[quads + quad];
                }
                weight = weight_at((part.weights * entries + entry + s) * 64u + lane);
            }
            staged_inputs[s * 64u + lane] = value;
            staged_weights[s * 64u + lane] = weight;

            quad++;
            if quad == own.in_quads {
                quad = 0u;
                tap.z++;
                if tap.z == own.window.kernel_w {
                    tap.z = 0u;
                    tap.y++;
                    if tap.y == own.window.kernel_h {
                        tap.y = 0u;
                        tap.x++;
                    }
                }
                quads = quads_at(own, origin, tap.x, tap.y, tap.z);
            }
        }
        workgroupBarrier();

        for (var s = 0u; s < STAGE; s++) {
            var values: array<vec4<f32>, 8>;
            // unroll
            for (var j = 0u; j < 8u; j++) {
                values[j] = staged_inputs[s * 64u + j * 8u + column];
            }
            // unroll
            for (var k = 0u; k < 4u; k++) {
                // unroll
                for (var q = 0u; q < 2u; q++) {
                    let weight = staged_weights[s * 64u + k * 16u + q * 8u + row];
                    // unroll
                    for (var j = 0u; j < 8u; j++) {
                        sums[j][q] += weight * values[j][k];
                    }
                }
            }
        }
        workgroupBarrier();
    }

    let last = epilogue();
    // unroll
    for (var j = 0u; j < 8u; j++) {
        // unroll
        for (var q = 0u; q < 2u; q++) {
            store(last, first + j * 8u + column, part.end, part.block * 16u + q * 8u + row, sums[j][q]);
        }
    }
}
