//! Burn without optional features.

fn main() -> anyhow::Result<()> {
    burn_resnet3d::main()
}
