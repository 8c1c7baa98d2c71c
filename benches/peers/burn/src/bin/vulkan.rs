//! Burn with fusion, autotune, and its SPIR-V compiler.

fn main() -> anyhow::Result<()> {
    burn_resnet3d::main()
}
