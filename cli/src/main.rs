//! `resnet3d`: 3D ResNet video backbones from the command line.
#![forbid(unsafe_code)]

mod adapters;
mod arguments;
mod bench;
mod chart;
mod classify;
mod cli;
mod clip;
mod convert;
mod demo;
mod display;
mod failure;
mod features;
mod forward;
mod input;
mod kernels;
mod labels;
mod network;
mod output;
mod outputs;
mod place;
mod plan;
mod progress;
mod run;
mod signals;
mod svg;
mod text;
mod tuning;
mod verify;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    cli.start_logging();
    if cli.looks_for_adapters() {
        display::silence_mesa();
    }
    signals::remove_temporary_files_on_signals();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
