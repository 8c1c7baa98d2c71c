//! Burn with fusion, autotune, and its own compiler to SPIR-V.

fn main() -> anyhow::Result<()> {
    burn_resnet3d::main()
}
