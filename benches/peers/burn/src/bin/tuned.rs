//! Burn with fusion and autotune.

fn main() -> anyhow::Result<()> {
    burn_resnet3d::main()
}
