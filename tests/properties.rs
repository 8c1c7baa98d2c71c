//! Random operators and bodies against the CPU reference, on every adapter; and proof that faults would be noticed.

mod common;

use common::{assert_verified, contexts};
use resnet3d_wgpu::low_level::dtype::DType;
use resnet3d_wgpu::low_level::gpu::{Constants, Executor, ShaderPatch};
use resnet3d_wgpu::low_level::graph::GraphBuilder;
use resnet3d_wgpu::low_level::kernels::{AdapterClass, Kernel};
use resnet3d_wgpu::low_level::plan::{Plan, PlanOptions};
use resnet3d_wgpu::low_level::reference;
use resnet3d_wgpu::low_level::verify::{Cases, Drawn, Settings, Variant, check, kernels, split, variants, verify};
use resnet3d_wgpu::weights::random;
use resnet3d_wgpu::{Clip, DeviceLimits, GpuContext, ShaderChecks, Shape, Timing, Weights};
use std::collections::{BTreeSet, HashSet};
use std::path::Path;

/// The seed of a run: fixed, or `RESNET3D_SEED` for trying others.
fn seed() -> u64 {
    let seed = std::env::var("RESNET3D_SEED").map_or(20_181_018, |s| s.parse().expect("RESNET3D_SEED is a number"));
    println!("seed: {seed} (set RESNET3D_SEED for another)");
    seed
}

#[test]
fn every_kernel_agrees_with_the_reference_on_random_cases() {
    let settings = Settings { cases: Cases::First { operators: 200, bodies: 40 }, seed: seed(), memory_limit: None };
    for gpu in contexts() {
        // An adapter with fewer methods draws fewer splits, so the next seeds may cover what one seed does not.
        let mut uncovered = run_all(&gpu, &settings);
        for seed in (settings.seed..).skip(1).take(2) {
            if !uncovered.is_empty() {
                let further = run_all(&gpu, &Settings { seed, ..settings });
                uncovered.retain(|property| further.contains(property));
            }
        }
        assert!(uncovered.is_empty(), "not covered: {uncovered:?}");
    }
}

/// Runs all cases of `settings`, which must pass. Returns the properties that none of them covers.
fn run_all(gpu: &GpuContext, settings: &Settings) -> Vec<String> {
    let report = verify(gpu, settings, &mut |_, _| {}).unwrap();
    println!("{:?} of seed {}:", settings.cases, settings.seed);
    for row in &report.rows {
        let (runs, relative, element) = (row.runs, row.worst_relative, row.worst_element);
        print!("  {:40} {runs:5} runs, worst value {element:.2} of its tolerance, ", row.name);
        println!("worst relative error {relative:.1e}");
    }
    println!("dispatches by property:");
    for (property, count) in report.coverage.counts() {
        println!("  {property:40} {count:5}");
    }
    assert_verified(&report, DeviceLimits::Adapter);
    report.coverage.missing().into_iter().map(str::to_owned).collect()
}

/// A sequential sum of many values of one sign would be wrong in several of its last digits.
#[test]
fn the_mean_of_a_large_map_is_accurate() {
    let mut model = GraphBuilder::new();
    let data = model.input("data", 6);
    let pooled = model.average_pool(data, "pool5");
    let graph = model.finish(pooled);
    let shape = Shape::new(1, 6, 32, 64, 64);
    let values = random::uniform("data", seed()).take(shape.len()).map(|u| u as f32 + 1.25);
    let clip = Clip::new(shape, values.collect()).unwrap();
    let weights = Weights::random_for(&graph, 0);
    let want = &reference::execute(&graph, &[&clip], &weights, &[graph.output()]).unwrap()[0];
    for gpu in contexts() {
        let options = PlanOptions { target: gpu.target(), limits: gpu.plan_limits(), ..PlanOptions::default() };
        let plan = Plan::new(&graph, &[shape], &options).unwrap();
        let mut executor =
            Executor::new(&gpu, plan, &weights, &mut Constants::default(), ShaderChecks::Unchecked, None).unwrap();
        let got = &executor.run(&[clip.data()], Timing::Off).unwrap().0[0];
        let errors = got.iter().zip(&want.data).map(|(&got, want)| (f64::from(got) / want - 1.0).abs());
        let worst = errors.fold(0.0, f64::max);
        println!("means of {shape}: worst relative error {worst:.1e}");
        assert!(got.len() == 6 && worst < 2e-7, "{worst:e}");
    }
}

/// Typical faults of kernels, each as a change to one shader.
const FAULTS: [(&str, ShaderPatch); 96] = [
    ("padding in T off by one", patch("conv_direct", "- p.window.pad_t", "- (p.window.pad_t + 1)")),
    ("padding in H off by one", patch("conv_direct", "- p.window.pad_h", "- (p.window.pad_h + 1)")),
    ("padding in W off by one", patch("conv_direct", "- p.window.pad_w", "- (p.window.pad_w + 1)")),
    ("stride axes H and W swapped", patch("conv_direct", "out_y * p.window.stride_h", "out_y * p.window.stride_w")),
    ("stride axes T and H swapped", patch("conv_direct", "out_z * p.window.stride_t", "out_z * p.window.stride_h")),
    ("dilation in T ignored", patch("conv_direct", "i32(kt * p.window.dilation_t)", "i32(kt)")),
    ("last input channel dropped", patch("conv_direct", "c < p.group_in_c", "c + 1u < p.group_in_c")),
    ("channel tail dropped", patch("conv_direct", "c < p.group_out_c", "(c | 3u) < p.group_out_c")),
    ("last column not written", patch("conv_direct", "if x < p.out_w {", "if x + 1u < p.out_w {")),
    ("padding before the first frame not skipped", patch("conv_direct", "z >= 0 && z < size_z", "z < size_z")),
    ("residual forgotten", patch("conv_direct", "p.add_residual == 1u", "p.add_residual == 2u")),
    ("ReLU forgotten", patch("conv_direct", "p.relu == 1u", "p.relu == 2u")),
    ("groups ignored", patch("conv_direct", "group * p.group_in_c + c;", "c;")),
    (
        "depthwise: padding in T off by one",
        patch("conv_depthwise", "- geometry.window.pad_t", "- (geometry.window.pad_t + 1)"),
    ),
    (
        "depthwise: padding in W off by one",
        patch("conv_depthwise", "- geometry.window.pad_w", "- (geometry.window.pad_w + 1)"),
    ),
    ("depthwise: dilation in H ignored", patch("conv_depthwise", "i32(kh * geometry.window.dilation_h)", "i32(kh)")),
    ("depthwise: last column not written", patch("conv_depthwise", "< geometry.out_w {", "+ 1u < geometry.out_w {")),
    (
        "depthwise: rows before the first read",
        patch("conv_depthwise", "& (y >= 0) & (y < geometry.in_h)", "& (y < geometry.in_h)"),
    ),
    (
        "depthwise: every block with the first one's weights",
        patch("conv_depthwise", "relative_block / BLOCK_VEC4S * taps", "0u * taps"),
    ),
    ("depthwise: residual forgotten", patch("conv_depthwise", "if geometry.add_residual", "if false")),
    ("depthwise: ReLU forgotten", patch("conv_depthwise", "vec4(0.0)), geometry.relu)", "vec4(0.0)), false)")),
    (
        "depthwise: columns right of the row read",
        patch("conv_depthwise_walk", "(x >= 0) & (x < geometry.in_w)", "x >= 0"),
    ),
    (
        "depthwise, walking: a frame too early",
        patch(
            "conv_depthwise_walk",
            "(clip * geometry.out_t + out_z + complete",
            "(clip * geometry.out_t + out_z + max(complete, 1u) - 1u",
        ),
    ),
    ("depthwise, walking: frames before the first read", patch("conv_depthwise_walk", "(z >= 0) & (z <", "(z <")),
    (
        "depthwise, walking: frames behind the last read",
        patch("conv_depthwise_walk", "(z >= 0) & (z < geometry.in_t)", "z >= 0"),
    ),
    (
        "depthwise, walking: sums begin too late",
        patch("conv_depthwise_walk", "clamp(-base_z, 0, 2)", "max(-base_z, 0)"),
    ),
    (
        "depthwise, walking: last row not written",
        patch("conv_depthwise_walk", "< geometry.out_h {", "+ 1u < geometry.out_h {"),
    ),
    ("depthwise, walking: residual forgotten", patch("conv_depthwise_walk", "if geometry.add_residual", "if false")),
    (
        "depthwise, walking: last column not written",
        patch("conv_depthwise_walk", "+ 1u < geometry.out_w {", "+ 2u < geometry.out_w {"),
    ),
    ("pooling: padding in H off by one", patch("max_pool", "- window.pad_h", "- (window.pad_h + 1)")),
    ("pooling: last value not written", patch("max_pool", "index >= p.len", "index + 1u >= p.len")),
    ("mean: the last value dropped", patch("average_pool", "while value < count {", "while value + 1u < count {")),
    ("mean: divided by too much", patch("average_pool", "/ f32(count)", "/ f32(count + 1u)")),
    ("mean: frames and rows one value apart", patch("average_pool", "value * step", "value")),
    ("mean: half of the sums dropped", patch("average_pool", "half = SHARES / 2u;", "half = SHARES / 4u;")),
    (
        "mean: last channel block not written",
        patch("average_pool", "channel_block < channel_blocks {", "channel_block + 1u < channel_blocks {"),
    ),
    (
        "joined channels: the second's first channel block lost",
        patch("concat", "+ channel_block - p.first_channel_blocks", "+ channel_block - p.first_channel_blocks + 1u"),
    ),
    (
        "joined channels: another position",
        patch("concat", "position * p.second_channel_blocks + channel_block", "channel_block"),
    ),
    (
        "joined channels: within a channel block, shifted",
        patch("concat", "let second_channel = c - p.first_c", "let second_channel = c - p.first_channel_blocks * 4u"),
    ),
    ("joined channels: last channel block not written", patch("concat", "index >= p.len", "index + 1u >= p.len")),
    ("subsampling: stride in T lost", patch("subsample", "* p.window.stride_t", "")),
    ("subsampling: stride in H lost", patch("subsample", "* p.window.stride_h", "")),
    ("subsampling: last value not written", patch("subsample", "index >= p.len", "index + 1u >= p.len")),
    (
        "affine: channel of the wrong axis",
        patch("affine", "index % p.channel_blocks", "index / p.channel_blocks % p.channel_blocks"),
    ),
    (
        "GEMM: padding in T off by one",
        patch("conv_gemm_subgroup", "- geometry.window.pad_t", "- (geometry.window.pad_t + 1)"),
    ),
    (
        "GEMM: last channel block not written",
        patch(
            "conv_gemm",
            "channel_block < epilogue.out_channel_blocks",
            "channel_block + 1u < epilogue.out_channel_blocks",
        ),
    ),
    ("GEMM: last position not written", patch("conv_gemm_subgroup", "if position < end", "if position + 1u < end")),
    ("GEMM: batch ignored", patch("conv_gemm", "(origin.clip * geometry.in_frames + z)", "z")),
    ("GEMM: last k index dropped", patch("conv_gemm_tiled", "+ k_slot < pair_k_len", "+ k_slot + 1u < pair_k_len")),
    (
        "GEMM: taps walked along the wrong axis",
        patch("conv_gemm_tiled", "tap.z == geometry.window.kernel_w", "tap.z == geometry.window.kernel_h"),
    ),
    ("GEMM: both stages in one half", patch("conv_gemm_tiled", "stage % 2u * STAGE", "0u")),
    ("GEMM: residual twice", patch("conv_gemm_tiled", "epilogue.add_residual = false;", "")),
    (
        "GEMM: residual of the first channel block",
        patch(
            "conv_gemm_tiled",
            "* epilogue.out_channel_blocks + channel_block, inside",
            "* epilogue.out_channel_blocks, inside",
        ),
    ),
    ("slices: the bias in each of them", patch("conv_gemm_tiled", "row], slice == 0u)", "row], true)")),
    (
        "slices: one adds the wrong half",
        patch("conv_gemm_tiled", "+= staged_inputs[half_offset", "+= staged_weights[half_offset"),
    ),
    ("slices: quarters in each other's place", patch("conv_gemm_tiled", "slice * KEPT", "(slice ^ 1u) * KEPT")),
    (
        "GEMM: every batch with the first one's weights",
        patch("conv_gemm", "block * p.batches + batch", "block * p.batches"),
    ),
    ("GEMM: every block with the input of the first group", patch("conv_gemm", "* p.group_channel_blocks;", "* 0u;")),
    (
        "GEMM: groups one block too wide",
        patch("conv_gemm_subgroup", "block) / p.blocks_sharing_input", "block) / (p.blocks_sharing_input + 1u)"),
    ),
    ("projection: the convolution's window", patch("conv_gemm_tiled", "= p.second_window;", "= p.window;")),
    ("Winograd: padding in H ignored", patch("winograd_input", "* OUT) - p.pad_h", "* OUT)")),
    ("Winograd: tiles walked along the wrong axis", patch("winograd_input", "row / tiles_h;", "row / tiles_w;")),
    ("Winograd: last input row dropped", patch("winograd_input", "y < plane.in_h", "y + 1 < plane.in_h")),
    (
        "Winograd: domain a row of the texture further on",
        patch("winograd_input", "index / TEXTURE_WIDTH), value", "index / TEXTURE_WIDTH + 1u), value"),
    ),
    ("Winograd: padding in W off by one", patch("winograd_input", "- p.pad_w", "- (p.pad_w + 1)")),
    ("Winograd: last row not written", patch("winograd_output", "< out_h &&", "+ 1u < out_h &&")),
    ("Winograd: residual forgotten", patch("winograd_output", "p.add_residual == 1u", "p.add_residual == 2u")),
    (
        "Winograd: residual of the clip's first channel block",
        patch("winograd_output", "residual[select(0u, first", "residual[select(0u, 0u * first"),
    ),
    ("Winograd: ReLU forgotten", patch("winograd_output", "p.relu == 1u", "p.relu == 2u")),
    ("Winograd: rows cut, all stored as the first", patch("winograd_output", "* OUT + p.first_row", "* OUT")),
    ("Winograd, fused: padding in W off by one", patch("winograd_fused", "- p.window.pad_w", "- (p.window.pad_w + 1)")),
    (
        "Winograd, fused: padding before the first frame read",
        patch("winograd_fused", "(z >= 0) & (z < in_t)", "z < in_t"),
    ),
    ("Winograd, fused: dilation in T ignored", patch("winograd_fused", "z += i32(p.window.dilation_t)", "z += 1")),
    (
        "Winograd, fused: every block with the first one's weights",
        patch("winograd_fused", "(block * stages", "(0u * stages"),
    ),
    ("Winograd, fused: halves not exchanged", patch("winograd_fused", "(share % 2u * 4u)", "0u")),
    ("Winograd, fused: residual forgotten", patch("winograd_fused", "p.add_residual == 1u", "p.add_residual == 2u")),
    ("Winograd, fused: ReLU forgotten", patch("winograd_fused", "p.relu == 1u", "p.relu == 2u")),
    ("Winograd, fused: last column not written", patch("winograd_fused", "x < p.out_w", "x + 1u < p.out_w")),
    (
        "Winograd, fused: rows counted from the first row band",
        patch("winograd_fused", "- p.window.pad_h", "- max(p.window.pad_h, 0)"),
    ),
    ("stem: the row above forgotten", patch("conv_pool_subgroup", "] = max(lower, lower_right)", "] = lowest")),
    (
        "stem: the column to the left forgotten",
        patch("conv_pool_subgroup", "let has_left = column > 0u", "let has_left = false"),
    ),
    (
        "stem: a neighbour in another row",
        patch("conv_pool_subgroup", "let has_left = column > 0u", "let has_left = true"),
    ),
    ("stem: a row beyond the edge pooled", patch("conv_pool_subgroup", "2 * row + 1 < out_h", "2 * row < out_h")),
    ("stem: a column beyond the edge pooled", patch("conv_pool_subgroup", "2u * column + 1u < p.out_w", "true")),
    ("stem: the last column not stored", patch("conv_pool_subgroup", "counted <= columns", "counted < columns")),
    (
        "stem: the second plane once more",
        patch("conv_pool_subgroup", "geometry.third_plane]", "geometry.second_plane]"),
    ),
    (
        "stem: clips follow one another as if of one plane",
        patch("conv_pool_subgroup", "origin.clip * geometry.in_frames", "origin.clip * geometry.in_t"),
    ),
    (
        "stem: from the first channel",
        patch("conv_pool_subgroup", "p.first_channel_block + block * TILE_M", "block * TILE_M"),
    ),
    (
        "stem, tiled: padding above pooled",
        patch("conv_gemm_tiled", "let inside_y = 2u * area.row + y + p.pool_above >= 1u", "let inside_y = true"),
    ),
    ("stem, tiled: the first plane once more", patch("conv_gemm_tiled", "index + geometry.second_plane", "index")),
    (
        "stem, tiled: last channel block not stored",
        patch(
            "conv_gemm_tiled",
            "out_channel_block < epilogue.out_channel_blocks",
            "out_channel_block + 1u < epilogue.out_channel_blocks",
        ),
    ),
    (
        "stem, tiled: half of the positions over the others",
        patch("conv_gemm_tiled", "row * POSITIONS + group_position +", "row * POSITIONS +"),
    ),
    (
        "stem, tiled: rows walked as columns",
        patch("conv_gemm_tiled", "index / across % down", "index / across % across"),
    ),
    ("layout: batch ignored", patch("layout", "(clip * channels + channel)", "channel")),
    ("sum: one addend twice", patch("sum", "+ load4(b[index])", "+ load4(a[index])")),
    ("ReLU: another threshold", patch("relu", "vec4(0.0)", "vec4(0.5)")),
];

/// Faults that only show if the work of a kernel is split.
const SPLIT_FAULTS: [(&str, ShaderPatch); 13] = [
    (
        "depthwise from the first channel",
        patch("conv_depthwise", "p.first_channel_block + relative_block", "relative_block"),
    ),
    (
        "depthwise, walking, early frames not skipped",
        patch("conv_depthwise_walk", "- geometry.window.pad_t", "- max(geometry.window.pad_t, 0)"),
    ),
    ("mean of the first row bound", patch("average_pool", "% p.out_h + p.first_h", "% p.out_h")),
    ("GEMM, groups from the first", patch("conv_gemm_subgroup", "(p.first_block + block)", "block")),
    ("Winograd, fused, from the first channel", patch("winograd_fused", "p.first_channel_block + block", "block")),
    (
        "GEMM from the first channel",
        patch("conv_gemm", "epilogue.first_channel_block + relative_block", "relative_block"),
    ),
    ("direct from the first channel", patch("conv_direct", "p.first_tile + relative_tile", "relative_tile")),
    ("bias of other channels", patch("conv_direct", "bias[relative_tile * TILE_C", "bias[tile * TILE_C")),
    ("early frames not skipped", patch("conv_direct", "- p.window.pad_t", "- max(p.window.pad_t, 0)")),
    ("rows above not skipped", patch("conv_gemm", "- geometry.window.pad_h", "- max(geometry.window.pad_h, 0)")),
    ("stem, rows above taken for padding", patch("conv_pool_subgroup", "strip + p.pool_above > 0u", "strip > 0u")),
    ("stem, tiled, rows above taken for padding", patch("conv_gemm_tiled", "y + p.pool_above >= 1u", "y >= 1u")),
    ("Winograd from the first channel", patch("winograd_output", "p.first_channel_vec + relative_vec", "relative_vec")),
];

/// A change to a shader.
const fn patch(shader: &'static str, from: &'static str, to: &'static str) -> ShaderPatch {
    ShaderPatch { shader, from, to }
}

/// The most cases to look for a fault in.
const MOST_CASES: usize = 500;

#[test]
fn broken_kernels_are_caught() {
    let gpu = &contexts()[0];
    let mut trials = Trials::new(gpu, seed());
    // The control: a change that changes nothing passes all the cases that catch the faults.
    let harmless = patch("conv_direct", "- p.window.pad_t", "- (p.window.pad_t + 0)");
    let (runs, caught) = trials.run_until_caught(harmless, Among::Broken, 60);
    assert!(!caught && runs > 100, "the cases fail without a fault, or there are few: {runs} runs");
    let mut missed = Vec::new();
    let faults = FAULTS.map(|fault| (fault, Among::Broken)).into_iter();
    for ((fault, patch), among) in faults.chain(SPLIT_FAULTS.map(|fault| (fault, Among::Split))) {
        let fault = if matches!(among, Among::Split) { format!("split: {fault}") } else { fault.to_owned() };
        // A patch of text that no shader has any longer would prove nothing.
        assert!(!patch.kernels().is_empty(), "{fault}: no {:?} in {}", patch.from, patch.shader);
        if !patch.kernels().into_iter().any(|kernel| kernel.runs_on(gpu.target())) {
            println!("{fault}: in no kernel that runs on this adapter");
            continue;
        }
        let (runs, caught) = trials.run_until_caught(patch, among, MOST_CASES);
        println!("{fault}: {} after {runs} runs", if caught { "caught" } else { "MISSED" });
        if !caught {
            missed.push(fault);
        }
    }
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}

/// Cases that pass with the unchanged shaders. Each is drawn and planned once for all faults.
struct Trials<'a> {
    gpu: &'a GpuContext,
    seed: u64,
    trials: Vec<Trial>,
}

/// A case, and the ways to run it, whole and split.
struct Trial {
    drawn: Drawn,
    ways: Vec<Way>,
}

struct Way {
    variant: Variant,
    kernels: HashSet<Kernel>,
}

/// The ways to run a case that are tried with a fault.
#[derive(Clone, Copy)]
enum Among {
    /// Ways that run a kernel with the fault.
    Broken,
    /// Split ways that run such a kernel.
    Split,
    /// Ways that run this kernel, and no other kernel with the fault.
    Only(Kernel),
}

impl<'a> Trials<'a> {
    fn new(gpu: &'a GpuContext, seed: u64) -> Self {
        Self { gpu, seed, trials: Vec::new() }
    }

    fn draw(&mut self) {
        let drawn = Drawn::new(self.seed, self.trials.len()).unwrap();
        let mut splits = drawn.splits();
        let mut ways = Vec::new();
        let mut add = |variant| {
            let kernels = kernels(self.gpu, &drawn.case, &variant).unwrap();
            ways.push(Way { variant, kernels });
        };
        // Broken shaders may index out of bounds: they keep wgpu's checks.
        let all = variants(&drawn.case, self.gpu.target(), ShaderChecks::Checked);
        // If a case has few variants, each is split in several ways.
        let most_splits = if all.len() < 5 { 4 } else { 1 };
        for variant in all {
            add(variant);
            for _ in 0..most_splits {
                if let Some(parts) = split(self.gpu, &drawn.case, &variant, &mut splits).unwrap() {
                    add(parts);
                }
            }
        }
        self.trials.push(Trial { drawn, ways });
    }

    /// Runs at most `cases` cases, until one fails. Returns the number of runs, and whether one failed.
    fn run_until_caught(&mut self, patch: ShaderPatch, among: Among, cases: usize) -> (usize, bool) {
        let broken = patch.kernels();
        let mut runs = 0;
        for number in 0..cases {
            if number == self.trials.len() {
                self.draw();
            }
            let Trial { drawn, ways } = &self.trials[number];
            for Way { variant, kernels } in ways {
                let mut run = broken.iter().filter(|kernel| kernels.contains(kernel));
                let concerned = match among {
                    Among::Broken => run.next().is_some(),
                    Among::Split => variant.limits.is_some() && run.next().is_some(),
                    Among::Only(kernel) => run.next() == Some(&kernel) && run.next().is_none(),
                };
                if !concerned {
                    continue;
                }
                runs += 1;
                let variant = Variant { patch: Some(patch), ..*variant };
                if !check(self.gpu, &drawn.case, &drawn.expected, &variant).unwrap().passed() {
                    return (runs, true);
                }
            }
        }
        (runs, false)
    }
}

/// Tests that need an adapter on the CPU, such as Mesa's: see `tests/faults/mesa.rs`.
mod mesa {
    use super::*;

    /// The most cases to look for a missing barrier in. The first few show it.
    const MOST_CASES_OF_A_BARRIER: usize = 60;

    /// Without any one of its barriers every kernel gives wrong results on an adapter on the CPU. Such an adapter runs
    /// the subgroups of a workgroup one after the other between barriers, so that a missing barrier always shows. On a
    /// GPU the results may be right by chance, and the invocations of one subgroup need no barrier.
    #[test]
    #[ignore = "needs Mesa's drivers for the CPU; scripts/test runs it where they are"]
    fn dropped_barriers_are_caught() {
        let contexts = contexts();
        let software = contexts.iter().find(|gpu| gpu.class() == AdapterClass::Software);
        let gpu =
            software.expect("the test needs an adapter on the CPU; on Debian: apt-get install mesa-vulkan-drivers");
        let mut trials = Trials::new(gpu, seed());
        let mut missed = Vec::new();
        for barrier in barriers() {
            let kernels: Vec<Kernel> =
                barrier.kernels().into_iter().filter(|&kernel| runs_into(kernel, barrier)).collect();
            assert!(!kernels.is_empty(), "no kernel has {:?} of {}", barrier.from, barrier.shader);
            for kernel in kernels.into_iter().filter(|kernel| kernel.runs_on(gpu.target())) {
                let (runs, caught) = trials.run_until_caught(barrier, Among::Only(kernel), MOST_CASES_OF_A_BARRIER);
                let name = format!("{} without {:?}", kernel.name(), barrier.from);
                println!("{name}: {} after {runs} runs", if caught { "caught" } else { "MISSED" });
                if !caught {
                    missed.push(name);
                }
            }
        }
        assert!(missed.is_empty(), "not noticed: {missed:?}");
    }

    /// Whether `kernel` can reach the barrier that a patch removes. Constants of a kernel may exclude it.
    fn runs_into(kernel: Kernel, barrier: ShaderPatch) -> bool {
        let source = kernel.source(DType::F32);
        barriers_of(&source) > barriers_of(&source.replace(barrier.from, barrier.to))
    }

    /// The number of barriers in the entry point of a shader that its constants do not exclude.
    fn barriers_of(source: &str) -> usize {
        let module = naga::front::wgsl::parse_str(source).unwrap();
        let function = &module.entry_points[0].function;
        fn count(block: &naga::Block, function: &naga::Function) -> usize {
            let each = block.iter().map(|statement| match statement {
                naga::Statement::ControlBarrier(_) => 1,
                naga::Statement::Block(inner) => count(inner, function),
                naga::Statement::Loop { body, continuing, .. } => count(body, function) + count(continuing, function),
                naga::Statement::If { condition, accept, reject } => match function.expressions[*condition] {
                    naga::Expression::Literal(naga::Literal::Bool(true)) => count(accept, function),
                    naga::Expression::Literal(naga::Literal::Bool(false)) => count(reject, function),
                    _ => count(accept, function) + count(reject, function),
                },
                _ => 0,
            });
            each.sum()
        }
        count(&function.body, function)
    }

    /// One patch for each barrier of each shader, which removes it. A comment after a barrier distinguishes it from the
    /// others of the shader, even if the loop around it is unrolled.
    fn barriers() -> Vec<ShaderPatch> {
        const BARRIER: &str = "workgroupBarrier();";
        let mut barriers = Vec::new();
        let shaders: BTreeSet<&str> = Kernel::all().map(Kernel::shader).collect();
        for shader in shaders {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders").join(shader).with_extension("wgsl");
            let text = std::fs::read_to_string(path).unwrap();
            let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| line.contains("Barrier()")).collect();
            for (index, line) in lines.iter().enumerate() {
                assert!(line.starts_with(BARRIER), "{shader}: {line}");
                assert!(lines.len() == 1 || line.len() > BARRIER.len(), "{shader}: {line} without a comment");
                assert!(!lines[..index].contains(line), "{shader}: {line} twice");
                barriers.push(patch(shader, String::leak((*line).to_owned()), ""));
            }
        }
        assert!(barriers.len() >= 10, "{barriers:?}");
        barriers
    }
}
