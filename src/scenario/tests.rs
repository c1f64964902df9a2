//! Tests of the loader as a whole.

use std::time::Instant;

use super::{LoadOptions, Source, library, load};

#[test]
fn library_loads() {
    for name in library::names() {
        match load(&Source::Library(name.into()), &LoadOptions::default()) {
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn speed() {
    let many = |s: &str| s.repeat((1 << 20) / s.len());
    for (name, text) in [
        ("flow", many("[")),
        ("braces", many("{")),
        ("braces2", many("{a: ")),
        ("dashes", many("- ")),
        ("q", many("? ")),
        ("dup", format!("title: x\nsteps:\n{}", many("  - traffic: {}\n"))),
        ("keys", many("a: 1\n")),
        ("oneline", format!("title: [{}]", "a, ".repeat(45_000))),
        ("oneline é", format!("title: [{}]", "é, ".repeat(45_000))),
        ("text", format!("title: {}", "a ".repeat(500_000))),
        ("anchors", many("&a ")),
        ("dollars", format!("title: {}", "${a} ".repeat(200_000))),
        (
            "params",
            format!(
                "title: x\nsteps: []\nparameters:\n{}",
                (0..40_000).map(|i| format!("  a{i}:\n")).collect::<String>()
            ),
        ),
    ] {
        println!("{name}");
        let start = Instant::now();
        let result = load(&Source::Text { name: "x".into(), text }, &LoadOptions::default());
        let took = start.elapsed();
        let n = result.as_ref().err().map_or(0, |e| e.items().len());
        let text = result.unwrap_err().render(false);
        println!("{name} {took:?} {n} {:?}: {}", start.elapsed(), text.chars().take(200).collect::<String>());
    }
}
