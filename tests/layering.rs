//! Holds `src/` to the table of ARCHITECTURE.md: who may import whom, which module may name which library, how long a file may be.
//!
//! Uses nothing but `std`, so that `rustc --test tests/layering.rs` answers in a second, before anything else is compiled.

#[path = "layering/lexer.rs"]
mod lexer;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use lexer::{Kind, Token, matches_at, segments, tokenize};

/// Module, and what it may import. Layers, from the bottom: types | rules telemetry config task | keys store chain net gpu sandbox http |
/// service | role client | devnet cli. Adapters (the third layer) never import each other.
const MODULES: &[(&str, &[&str])] = &[
    ("types", &[]),
    // A program of its own inside containers; it compiles `types/agent.rs` and knows nothing else of the crate.
    ("guest", &[]),
    ("rules", &["types"]),
    ("telemetry", &["types"]),
    ("config", &["types", "telemetry"]),
    ("task", &["types", "telemetry"]),
    ("keys", &["types", "config"]),
    ("store", &["types", "config", "telemetry"]),
    ("chain", &["types", "rules", "config", "telemetry", "task"]),
    ("net", &["types", "config", "telemetry", "task"]),
    ("gpu", &["types", "rules", "config", "telemetry"]),
    ("sandbox", &["types", "config", "telemetry"]),
    // A server is a service by itself.
    ("http", &["types", "config", "telemetry", "task"]),
    ("service", &["types", "rules", "config", "telemetry", "task", "keys", "store", "chain", "net", "gpu", "sandbox", "http"]),
    ("role", &["types", "rules", "config", "telemetry", "task", "keys", "store", "chain", "net", "gpu", "sandbox", "http", "service"]),
    ("client", &["types", "rules", "config", "telemetry", "task", "keys", "store", "chain", "net", "gpu", "sandbox", "http", "service"]),
    // `chain`: it waits for its chains and injects faults into them. `keys`: it makes the keystores of its nodes.
    ("devnet", &["types", "config", "telemetry", "task", "keys", "chain", "client"]),
    // `sandbox`: the hidden subcommand that is the sandbox's child process enters there before anything of the node is set up.
    // `keys`: key files are made, and passwords typed, at the terminal.
    ("cli", &["types", "config", "telemetry", "keys", "sandbox", "role", "client", "devnet"]),
];

/// A library's paths, and the only places that may name them. An empty list of segments means the whole library.
struct Foreign {
    library: &'static str,
    segments: &'static [&'static str],
    only_in: &'static [&'static str],
}

const FOREIGN: &[Foreign] = &[
    Foreign { library: "rocksdb", segments: &[], only_in: &["store"] },
    // The child process of the sandbox runs the renter's kernel, so it needs OpenCL too; it shares no state with the node.
    Foreign { library: "ocl", segments: &[], only_in: &["gpu", "sandbox"] },
    Foreign { library: "ocl_core", segments: &[], only_in: &["gpu", "sandbox"] },
    Foreign { library: "bollard", segments: &[], only_in: &["sandbox"] },
    // The devnet's fault proxy is a server that no node runs.
    Foreign { library: "axum", segments: &[], only_in: &["http", "devnet/proxy"] },
    Foreign { library: "russh", segments: &[], only_in: &["sandbox"] },
    Foreign { library: "libp2p", segments: &[], only_in: &["net"] },
    Foreign { library: "libp2p_stream", segments: &[], only_in: &["net"] },
    // `types` derives the bindings, whose call builders name the network side.
    Foreign {
        library: "alloy",
        segments: &["contract", "network", "providers", "pubsub", "rpc", "transports"],
        only_in: &["chain", "types"],
    },
];

const FATAL: &[&[&str]] = &[&[".", "unwrap", "("], &[".", "expect", "("], &["todo", "!"], &["unimplemented", "!"], &["panic", "!"]];

const MAX_FILE_LINES: usize = 600;
const MAX_MAIN_LINES: usize = 40;
const MAX_ROLE_LINES: usize = 150;

/// A source file, by its place under `src/`.
struct Source {
    /// `src/store/table.rs`
    path: String,
    /// `store/table`; a folder's `mod.rs` is the folder.
    place: String,
    lines: usize,
    tokens: Vec<Token>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let place = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        Self { path: path.into(), place: place.into(), lines: text.lines().count(), tokens: tokenize(text) }
    }

    /// `None` for `main.rs` and `lib.rs`.
    fn module(&self) -> Option<&str> {
        let first = self.place.split('/').next().unwrap_or_default();
        (!["main", "lib"].contains(&first)).then_some(first)
    }

    fn within(&self, place: &str) -> bool {
        self.place == place || self.place.starts_with(&format!("{place}/"))
    }

    /// Top-level modules this file names, with their lines: by `crate::`, by `gpumkt::`, or by enough `super::`.
    fn imports(&self) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        let mut nesting = Nesting::default();
        let depth = if self.module().is_some() { self.place.split('/').count() } else { 0 };
        for (at, token) in self.tokens.iter().enumerate() {
            nesting.step(&self.tokens, at);
            let starts_path = at == 0 || !self.tokens[at - 1].is("::");
            if !starts_path {
                continue;
            }
            match token.word() {
                Some("crate" | "gpumkt") => found.extend(segments(&self.tokens, at + 1)),
                Some("super") => {
                    let mut end = at + 1;
                    let mut climbed = 1;
                    while matches_at(&self.tokens, end, &["::", "super"]) {
                        end += 2;
                        climbed += 1;
                    }
                    if climbed >= depth + nesting.modules() {
                        found.extend(segments(&self.tokens, end));
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// Counts the inline modules around a token, which `super` has to climb as well.
#[derive(Default)]
struct Nesting {
    depth: usize,
    module_depths: Vec<usize>,
}

impl Nesting {
    fn step(&mut self, tokens: &[Token], at: usize) {
        match tokens[at].kind {
            Kind::Mark('{') => {
                self.depth += 1;
                if at >= 2 && tokens[at - 2].is("mod") {
                    self.module_depths.push(self.depth);
                }
            }
            Kind::Mark('}') => {
                if self.module_depths.last() == Some(&self.depth) {
                    self.module_depths.pop();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            _ => {}
        }
    }

    fn modules(&self) -> usize {
        self.module_depths.len()
    }
}

fn check(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    check_imports(source, &mut faults);
    check_foreign(source, &mut faults);
    check_calls(source, &mut faults);
    let limit = match source.place.as_str() {
        "main" => MAX_MAIN_LINES,
        _ if source.within("role") => MAX_ROLE_LINES,
        _ => MAX_FILE_LINES,
    };
    if source.lines > limit {
        faults.push(format!("{}:{limit}: has {} lines, at most {limit} are allowed: split it", source.path, source.lines));
    }
    faults
}

fn check_imports(source: &Source, faults: &mut Vec<String>) {
    let Some(module) = source.module() else { return };
    let Some((_, allowed)) = MODULES.iter().find(|(name, _)| *name == module) else {
        faults.push(format!("{}:1: module `{module}` is not in the layering table", source.path));
        return;
    };
    for (imported, line) in source.imports() {
        if imported == "*" {
            faults.push(format!("{}:{line}: a glob of the crate's root hides what `{module}` imports", source.path));
        } else if imported == "self" || !MODULES.iter().any(|(name, _)| *name == imported) {
            faults.push(format!("{}:{line}: `{imported}` is no module of the layering table", source.path));
        } else if imported != module && !allowed.contains(&imported.as_str()) {
            let list = if allowed.is_empty() { "nothing".into() } else { allowed.join(", ") };
            faults.push(format!("{}:{line}: `{module}` imports `{imported}`; it may import {list}", source.path));
        }
    }
}

fn check_foreign(source: &Source, faults: &mut Vec<String>) {
    for (at, token) in source.tokens.iter().enumerate() {
        let Some(rule) = token.word().and_then(|word| FOREIGN.iter().find(|rule| rule.library == word)) else { continue };
        let follows = at.checked_sub(1).map(|before| &source.tokens[before]);
        let starts_path = !follows.is_some_and(|before| before.is("::") || before.is("."));
        let imported = follows.is_some_and(|before| before.is("use") || before.is("crate"));
        let is_path = source.tokens.get(at + 1).is_some_and(|next| next.is("::"));
        if !starts_path || !(is_path || imported) || rule.only_in.iter().any(|place| source.within(place)) {
            continue;
        }
        let places = rule.only_in.join(", ");
        if rule.segments.is_empty() {
            faults.push(format!("{}:{}: only {places} may name `{}`", source.path, token.line, rule.library));
            continue;
        }
        for (segment, line) in segments(&source.tokens, at + 1) {
            if segment == "*" || rule.segments.contains(&segment.as_str()) {
                faults.push(format!("{}:{line}: only {places} may name `{}::{segment}`", source.path, rule.library));
            }
        }
    }
}

/// Calls that end the process or lose a task. Clippy knows the first group too; here they fail before anything is compiled.
fn check_calls(source: &Source, faults: &mut Vec<String>) {
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| !token.test) {
        if let Some(call) = FATAL.iter().find(|call| matches_at(&source.tokens, at, call)) {
            let call = call.concat();
            let call = call.trim_matches(['.', '(']);
            faults.push(format!("{}:{}: `{call}` outside tests: return an error with its context", source.path, token.line));
        }
        if is_bare_spawn(&source.tokens, at) {
            faults.push(format!("{}:{}: a task that nobody owns: give it to the supervisor or keep its handle", source.path, token.line));
        }
    }
}

/// `tokio::spawn(…);` as a statement of its own, or `let _ = tokio::spawn(…);`.
fn is_bare_spawn(tokens: &[Token], at: usize) -> bool {
    let length = if matches_at(tokens, at, &["tokio", "::", "spawn", "("]) {
        3
    } else if matches_at(tokens, at, &["tokio", "::", "task", "::", "spawn", "("]) {
        5
    } else {
        return false;
    };
    let discarded = at >= 3 && matches_at(tokens, at - 3, &["let", "_", "="]);
    let statement = at == 0 || ["{", "}", ";"].iter().any(|mark| tokens[at - 1].is(mark));
    let mut depth = 0;
    let closing = tokens.iter().enumerate().skip(at + length).find(|(_, token)| {
        depth += i32::from(token.is("(")) - i32::from(token.is(")"));
        depth == 0
    });
    let ends = closing.is_some_and(|(end, _)| tokens.get(end + 1).is_some_and(|next| next.is(";")));
    discarded || (statement && ends)
}

fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `#[cfg(test)] mod name;` makes the whole file of that module a test.
fn test_files(sources: &[Source]) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    for source in sources {
        for (at, token) in source.tokens.iter().enumerate() {
            let name = source.tokens.get(at + 1).and_then(Token::word);
            if let (true, true, Some(name)) = (token.test, token.is("mod") && matches_at(&source.tokens, at + 2, &[";"]), name) {
                places.insert(format!("{}/{name}", source.place));
            }
        }
    }
    places
}

#[test]
fn source_keeps_to_the_table() {
    let root = root();
    let mut sources: Vec<Source> = files(&root.join("src"), "rs")
        .iter()
        .map(|path| {
            let relative = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            Source::new(&relative, &fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(sources.len() > MODULES.len(), "no sources under {}", root.display());
    let tests = test_files(&sources);
    for source in &mut sources {
        if tests.iter().any(|place| source.within(place)) {
            source.tokens.iter_mut().for_each(|token| token.test = true);
        }
    }
    let faults: Vec<String> = sources.iter().flat_map(check).collect();
    assert!(faults.is_empty(), "{} breaches of ARCHITECTURE.md:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn other_files_are_short_too() {
    let root = root();
    let rust = ["tests", "benches"].iter().flat_map(|folder| files(&root.join(folder), "rs"));
    let solidity = ["src", "test"].iter().flat_map(|folder| files(&root.join("contracts").join(folder), "sol"));
    for path in rust.chain(solidity) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= MAX_FILE_LINES, "{}: has {lines} lines, at most {MAX_FILE_LINES} are allowed", path.display());
    }
}

#[test]
fn every_module_imports_downwards() {
    for (at, (module, allowed)) in MODULES.iter().enumerate() {
        for import in *allowed {
            let below = MODULES[..at].iter().any(|(name, _)| name == import);
            assert!(below, "the table lets `{module}` import `{import}`, which is not below it");
        }
    }
}

fn faults(path: &str, text: &str) -> Vec<String> {
    check(&Source::new(path, text))
}

#[test]
fn finds_imports_in_every_form() {
    let breach = "`store` imports `chain`; it may import types, config, telemetry";
    for text in [
        "use crate::chain::Reader;",
        "use crate::{types::Coded, chain::Reader};",
        "use crate::{\n    chain,\n    types::{self, Coded},\n};",
        "fn f() -> crate::chain::Reader { todo }",
        "#[cfg(test)]\nmod tests { use crate::chain; }",
        "use super::super::chain;",
        "mod inner { use super::super::super::chain; }",
        "macro_rules! m { () => { $crate::chain::X } }",
    ] {
        let found = faults("src/store/table.rs", text);
        assert!(found.len() == 1 && found[0].contains(breach), "{text}: {found:?}");
    }
    assert_eq!(faults("src/store/table.rs", "\n\nuse crate::chain::X;")[0], format!("src/store/table.rs:3: {breach}"));
    assert!(faults("src/store/mod.rs", "use super::net::X;")[0].contains("`store` imports `net`"));
}

#[test]
fn leaves_correct_code_alone() {
    for text in [
        "use crate::{config::Config, types::{Coded, chain::Kind}};\nuse super::error::StoreError;",
        "mod tests { use super::*; use super::super::chain_of_keys; }",
        "// use crate::chain::X;\n/* crate::net /* nested */ crate::gpu */\nconst A: &str = \"crate::chain \\\" crate::net\";",
        "const B: &str = r#\"crate::gpu \" .unwrap()\"#; const C: char = '\"'; fn f<'a>(x: &'a str) -> &'a str { x }",
        "pub(crate) fn rocks() { rocksdb::DB::open_default(); tokens.rocksdb(); }",
        "#[cfg(test)]\nmod tests { fn f() { x.unwrap(); panic!(\"no\") } }",
        "fn f() { let task = tokio::spawn(work()); set.spawn(work()); }",
        "fn f() { value.unwrap_or_default(); parser.expected(); }",
    ] {
        assert_eq!(faults("src/store/table.rs", text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(faults("src/gpu/device.rs", "use ocl::core; use alloy::primitives::{B256, U256};"), Vec::<String>::new());
    assert_eq!(faults("src/devnet/proxy/mod.rs", "use axum::Router;"), Vec::<String>::new());
}

#[test]
fn finds_libraries_outside_their_module() {
    for (path, text, breach) in [
        ("src/net/mod.rs", "use rocksdb::DB;", "only store may name `rocksdb`"),
        ("src/rules/mod.rs", "use ocl;", "only gpu, sandbox may name `ocl`"),
        ("src/devnet/mod.rs", "fn f() { axum::serve(a, b); }", "only http, devnet/proxy may name `axum`"),
        ("src/service/mod.rs", "use libp2p::PeerId;", "only net may name `libp2p`"),
        ("src/client/rent.rs", "use alloy::{primitives::U256, providers::Provider};", "only chain, types may name `alloy::providers`"),
    ] {
        let found = faults(path, text);
        assert!(found.len() == 1 && found[0].contains(breach), "{text}: {found:?}");
    }
}

#[test]
fn finds_calls_that_end_the_process_or_lose_a_task() {
    for text in [
        "fn f() { x.unwrap(); }",
        "fn f() { x\n.expect(\"y\"); }",
        "fn f() { panic!(\"x\") }",
        "#[cfg(test)]\nuse a::b;\nfn f() { x.unwrap(); }",
        "fn f() { tokio::spawn(async move { g(1).await }); }",
        "fn f() { let _ = tokio::task::spawn(work()); }",
    ] {
        assert_eq!(faults("src/task/mod.rs", text).len(), 1, "{text}");
    }
    for marker in ["todo", "unimplemented"] {
        assert_eq!(faults("src/task/mod.rs", &format!("fn f() {{ {marker}!() }}")).len(), 1, "{marker}");
    }
}

#[test]
fn finds_files_that_are_too_long() {
    assert_eq!(faults("src/main.rs", &"\n".repeat(41)).len(), 1);
    assert_eq!(faults("src/role/king.rs", &"\n".repeat(151)).len(), 1);
    assert_eq!(faults("src/net/mod.rs", &"\n".repeat(601)).len(), 1);
    assert_eq!(faults("src/net/mod.rs", &"\n".repeat(600)), Vec::<String>::new());
    assert_eq!(faults("src/extra/mod.rs", "")[0], "src/extra/mod.rs:1: module `extra` is not in the layering table");
}
