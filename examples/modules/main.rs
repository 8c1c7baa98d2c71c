//! Prints the dependencies between the modules of the library, by parent: `scripts/modules`.

mod graph;

use std::path::Path;

fn main() {
    for (parent, edges) in graph::read(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        let name = if parent.is_empty() { "the crate".to_owned() } else { parent.join("::") };
        println!("{name}");
        for (user, used) in &edges {
            println!("    {user} -> {}", used.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
        }
        if let Some(cycle) = graph::cycle(&edges) {
            println!("    CYCLE: {}", cycle.join(" -> "));
        }
    }
}
