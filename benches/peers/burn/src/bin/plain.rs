//! Burn without what a feature would add.

fn main() -> anyhow::Result<()> {
    burn_resnet3d::main()
}
