//! Runs a body in burn, measures it, and writes its output for comparison. See the README of `benches/peers`.

mod network;

use anyhow::{Context, Result};
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
use clap::{Parser, ValueEnum};
use network::Network;
use peer_protocol::{Identity, Values, measure, read_safetensors};
use std::thread::available_parallelism;

/// Run a 3D ResNet body in burn and print its times as one line of JSON.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    common: peer_protocol::Arguments,

    /// The device.
    #[arg(long, value_enum, default_value = "wgpu")]
    device: Where,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Where {
    /// The adapter that wgpu prefers.
    Wgpu,
    /// The software adapter of wgpu.
    WgpuCpu,
    /// Burn's backend for CPUs, with all cores.
    Flex,
}

impl Where {
    /// The device, its configuration and its name.
    fn open(self) -> Result<(Device, String, String)> {
        let kind = match self {
            Self::Wgpu => DeviceKind::DefaultDevice,
            Self::WgpuCpu => DeviceKind::Cpu,
            Self::Flex => {
                let threads = available_parallelism()?;
                return Ok((Device::flex(), "flex".to_owned(), format!("CPU, {threads} threads")));
            }
        };
        let options = Device::wgpu_options().device_kind(kind);
        let (device, setup) = options.init_with_setup().context("burn found no adapter")?;
        let info = setup.adapter.get_info();
        let api = if cfg!(feature = "vulkan") { "vulkan" } else { "wgpu" };
        let tuned = if cfg!(feature = "tuned") { ", fusion, autotune" } else { "" };
        let name = format!("{}, {}, {}", info.name, info.backend.to_str(), info.driver_info);
        Ok((device, format!("{api}{tuned}"), name))
    }
}

/// The program.
pub fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (device, configuration, name) = arguments.device.open()?;
    let identity = Identity { peer: "burn", version: BURN_VERSION, configuration, device: name };
    let weights = read_safetensors(&arguments.common.model)?;
    measure(&arguments.common, &identity, |_| {
        let network = Network::new(&weights, &device)?;
        Ok(move |clip: &Values| {
            let data = TensorData::new(clip.data.clone(), clip.shape.clone());
            let output = network.forward(Tensor::from_data(data, &device));
            let shape = output.dims().to_vec();
            let data = output.try_into_data()?.try_to_vec::<f32>()?;
            Ok(Values { shape, data })
        })
    })
}

/// The version in Cargo.toml, because burn does not expose it.
const BURN_VERSION: &str = "0.22.1";
