//! The user's pages of `docs/`, so that the documentation of the crate is complete by itself.
//!
//! Other pages are files of the repository only: `CHANGELOG.md`, `CONTRIBUTING.md`, `docs/architecture.md`,
//! `docs/planner.md`, `docs/changes.md`, `docs/experiments.md`, the records of measurements in `docs/results`, and the
//! `README.md` of `benches/peers` and `benches/compilers`. Links to them lead here.

/// A module for each page. Its links are those of `guide/links.md`: a Markdown link takes the first definition of its
/// label, so these go before the definitions at the end of the page, which are for the repository.
macro_rules! pages {
    ($($name:ident: $file:literal),* $(,)?) => {
        $(
            #[doc = include_str!("guide/links.md")]
            #[doc = include_str!(concat!("../docs/", $file))]
            pub mod $name {}
        )*
    };
}

pages! {
    clips: "clips.md",
    models: "models.md",
    network: "network.md",
    performance: "performance.md",
    program: "program.md",
    security: "security.md",
    stability: "stability.md",
    trust: "trust.md",
    weights: "weights.md",
}
