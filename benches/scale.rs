//! How far the network goes: real nodes in one process, and a simulation of a hundred thousand providers with the protocol's own rules.
//!
//! `cargo bench --bench scale` writes `target/bench/scale.json` and plots, `docs/scale/*.svg`. With
//! `GPUMKT_SCALE=nodes` or `simulation` only one part runs; `GPUMKT_SCALE_NODES` is the number of real nodes, 200 where left out.

// A bench fails as a test does.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "scale/nodes.rs"]
mod nodes;
#[path = "scale/plot.rs"]
mod plot;
#[path = "scale/simulation.rs"]
mod simulation;

use std::{fs, path::Path};

use serde_json::{Map, Value};

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let part = std::env::var("GPUMKT_SCALE").unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("target/bench/scale.json");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Parts that are not run keep their figures.
    let mut summary: Map<String, Value> =
        fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    if part != "simulation" {
        let count = std::env::var("GPUMKT_SCALE_NODES").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
        summary.extend(nodes::run(count));
    }
    if part != "nodes" {
        summary.extend(simulation::run(&root.join("docs/scale")));
    }
    let text = serde_json::to_string_pretty(&summary).unwrap();
    fs::write(&path, &text).unwrap();
    println!("{text}");
}
