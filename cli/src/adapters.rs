//! `resnet3d adapters`: the adapters, which one is used by default, and why not the others.

use crate::cli::Common;
use crate::output::{print, print_json};
use crate::text::{Facts, lines, mib, table};
use anyhow::Result;
use clap::Args;
use resnet3d_wgpu::low_level::gpu::{AdapterSummary, preferred_adapter};
use resnet3d_wgpu::low_level::kernels::Compiler;
use resnet3d_wgpu::wgpu::{DeviceType, Features};
use serde::Serialize;
use std::cmp::Ordering;

/// List the adapters, which one is used by default, and why not the others.
///
/// The order of preference is discrete, integrated, other, CPU; Vulkan, Metal and DX12 come before GL. --adapter and
/// --backend select an adapter as in all commands. With --limits, the list shows only what may be used of an adapter.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {}

const EXAMPLES: &str = "\
EXAMPLES:
  resnet3d adapters
  resnet3d adapters --json
  resnet3d adapters --backend gl                which adapter `--backend gl` uses";

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    adapters: Vec<Adapter>,
    /// Index of the adapter that is used by default.
    default: usize,
}

/// One adapter.
#[derive(Debug, Serialize)]
pub struct Adapter {
    pub name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    pub backend: &'static str,
    pub driver: String,
    class: &'static str,
    /// The compiler of the shaders: `driver`, or on Direct3D 12 `dxc` or `fxc`.
    shader_compiler: &'static str,
    features: FeatureReport,
    limits: LimitReport,
    /// Why the adapter cannot be used; null if it can.
    pub unusable: Option<String>,
    /// Features that the adapter lacks or that this version does not use, and the consequences.
    notes: Vec<String>,
}

/// The features that matter to the kernels.
#[derive(Debug, Serialize)]
struct FeatureReport {
    timestamps: bool,
    f16: bool,
    subgroups: bool,
    subgroup_sizes: [u32; 2],
}

/// The limits that matter to the kernels.
#[derive(Debug, Serialize)]
struct LimitReport {
    max_binding_bytes: u64,
    max_buffer_bytes: u64,
    max_workgroup_memory_bytes: u64,
    max_invocations_per_workgroup: u32,
    max_storage_buffers_per_stage: u32,
    max_storage_images_per_stage: u32,
    max_image_side: u32,
    max_workgroups_per_axis: u32,
    min_offset_alignment: u32,
}

impl Adapter {
    /// The adapter of `summary`.
    pub fn new(summary: &AdapterSummary) -> Self {
        let (info, limits) = (&summary.info, &summary.limits);
        let has = |feature| summary.features.contains(feature);
        Self {
            name: info.name.clone(),
            kind: match info.device_type {
                DeviceType::DiscreteGpu => "discrete",
                DeviceType::IntegratedGpu => "integrated",
                DeviceType::VirtualGpu => "virtual",
                DeviceType::Cpu => "cpu",
                DeviceType::Other => "other",
            },
            backend: summary.backend(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            class: summary.class.name(),
            shader_compiler: summary.compiler.name(),
            features: FeatureReport {
                timestamps: has(Features::TIMESTAMP_QUERY),
                f16: has(Features::SHADER_F16),
                subgroups: has(Features::SUBGROUP),
                subgroup_sizes: [info.subgroup_min_size, info.subgroup_max_size],
            },
            limits: LimitReport {
                max_binding_bytes: limits.max_storage_buffer_binding_size,
                max_buffer_bytes: limits.max_buffer_size,
                max_workgroup_memory_bytes: u64::from(limits.max_compute_workgroup_storage_size),
                max_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
                max_storage_buffers_per_stage: limits.max_storage_buffers_per_shader_stage,
                max_storage_images_per_stage: limits.max_storage_textures_per_shader_stage,
                max_image_side: limits.max_texture_dimension_2d,
                max_workgroups_per_axis: limits.max_compute_workgroups_per_dimension,
                min_offset_alignment: limits.min_storage_buffer_offset_alignment,
            },
            unusable: summary.unusable.clone(),
            notes: notes(summary),
        }
    }

    fn features(&self) -> String {
        let [low, high] = self.features.subgroup_sizes;
        let subgroups = match (self.features.subgroups, low == high) {
            (false, _) => "no".to_owned(),
            (true, true) => format!("of {low}"),
            (true, false) => format!("of {low} to {high}"),
        };
        let answer = |yes: bool| if yes { "yes" } else { "no" };
        format!(
            "timestamps {}\nf16        {}\nsubgroups  {subgroups}",
            answer(self.features.timestamps),
            answer(self.features.f16)
        )
    }

    fn limits(&self) -> String {
        format!(
            "binding     {}\nbuffer      {}\nworkgroup   {} KiB, {} invocations",
            mib(self.limits.max_binding_bytes),
            mib(self.limits.max_buffer_bytes),
            self.limits.max_workgroup_memory_bytes / 1024,
            self.limits.max_invocations_per_workgroup
        )
    }
}

/// Notes on an adapter that is not fully used.
fn notes(summary: &AdapterSummary) -> Vec<String> {
    let has = |feature| summary.features.contains(feature);
    let mut notes = Vec::new();
    if summary.info.device_type == DeviceType::Cpu {
        notes.push("software adapter: correct, but slow".to_owned());
    }
    if !has(Features::TIMESTAMP_QUERY) {
        notes.push("no timestamp queries: bench has no gpu_ms and no layers".to_owned());
    }
    if has(Features::SHADER_F16) {
        notes.push("f16 is supported by the adapter, but this version computes only in f32".to_owned());
    }
    match summary.compiler {
        Compiler::Driver => {}
        Compiler::Dxc => notes.push("DXC compiles its shaders (dxcompiler.dll)".to_owned()),
        Compiler::Fxc => {
            notes.push("FXC compiles its shaders: every start takes seconds, and there are no subgroups".to_owned());
            let source = "github.com/microsoft/DirectXShaderCompiler/releases";
            notes.push(format!("DXC is faster: put dxcompiler.dll next to this program or on the PATH ({source})"));
        }
    }
    if has(Features::SUBGROUP) && summary.info.subgroup_min_size != summary.info.subgroup_max_size {
        notes.push("the subgroup size varies: kernels that need a fixed size are not chosen".to_owned());
    }
    notes
}

impl Arguments {
    /// Runs the command.
    pub fn run(&self, common: &Common) -> Result<()> {
        common.check()?;
        let options = common.context_options();
        let all = options.adapters();
        let chosen = preferred_adapter(&all, &options)?;
        let default = all.iter().position(|summary| std::ptr::eq(summary, chosen)).unwrap_or(0);
        let report = Report { adapters: all.iter().map(Adapter::new).collect(), default };
        if common.json {
            return print_json(&report);
        }
        let mut rows = table(&["", "adapter", "type", "backend", "class", "features", "limits"]);
        for (index, adapter) in report.adapters.iter().enumerate() {
            rows.add_row([
                if index == default { "*" } else { "" }.to_owned(),
                [adapter.name.as_str(), adapter.driver.as_str()].join("\n"),
                adapter.kind.to_owned(),
                adapter.backend.to_owned(),
                adapter.class.to_owned(),
                adapter.features(),
                adapter.limits(),
            ]);
        }
        let mut facts = Facts::default();
        for (index, adapter) in report.adapters.iter().enumerate() {
            let title = format!("{} ({})", adapter.name, adapter.backend);
            match (&adapter.unusable, index.cmp(&default)) {
                (Some(reason), _) => facts.add("cannot be used", format!("{title}: {reason}")),
                (None, Ordering::Equal) => facts.add("* used", title),
                (None, Ordering::Less) => facts.add("not used", format!("{title}: not selected by the options")),
                (None, Ordering::Greater) => {
                    let option = if adapter.backend == report.adapters[default].backend {
                        format!("--adapter \"{}\"", adapter.name)
                    } else {
                        format!("--backend {}", adapter.backend)
                    };
                    let reason = format!("the marked adapter is preferred; select this one with {option}");
                    facts.add("not used", format!("{title}: {reason}"))
                }
            };
            for note in &adapter.notes {
                facts.add("", format!("- {note}"));
            }
        }
        print(&format!("{}\n\n{facts}", lines(&rows).join("\n")))
    }
}
