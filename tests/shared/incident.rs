//! Fixes the incidents of the library by hand: injects the fault with `--until observe`, then executes the commands of the
//! runbook. The commands are read from the page: in the sections Diagnosis and Fix, lines with `$ lab …` are executed, and each
//! line of sample output below must match a line of the real output. `…` stands for any text. A block after a paragraph with
//! "On Docker" or "On the embedded engine" is executed on that engine only.

use std::time::{Duration, Instant};

use crate::command::CommandOutput;

/// A command of a runbook.
#[derive(Debug)]
struct Example {
    /// Arguments, without `lab`.
    args: Vec<String>,
    /// Lines of the sample output.
    output: Vec<String>,
}

/// Injects the fault into a lab that is up, then diagnoses and fixes it. `engine` is `docker` or `embedded`.
pub(crate) fn fix_by_hand(incident: &str, engine: &str, lab: &dyn Fn(&[&str]) -> CommandOutput) {
    let page = page(incident);
    let (diagnosis, fix) = (section(&page, "Diagnosis", engine), section(&page, "Fix", engine));
    assert!(!diagnosis.is_empty() && !fix.is_empty(), "{incident}: {page}");
    lab(&["scenario", "run", incident, "--until", "observe", "--set", "requests=12"])
        .status(0)
        .complains("callers go on");
    lab(&["scenario", "check", incident]).status(1).says("not resolved");
    for example in &diagnosis {
        execute(incident, example, lab);
    }
    for example in &fix {
        execute(incident, example, lab);
    }
    lab(&["scenario", "check", incident]).status(0).says("resolved");
    let callers = lab(&["callers", "status", "--json"]).status(0).json();
    assert_eq!(callers["running"], true, "{callers}");
    lab(&["recover"]).status(0).says("stopped its callers");
    lab(&["traffic", "--requests", "5", "--rate", "50", "--json"]).status(0).says("\"200\": 5");
}

/// Commands of a runbook's fix, without `lab`.
pub(crate) fn fix_commands(incident: &str, engine: &str) -> Vec<Vec<String>> {
    section(&page(incident), "Fix", engine).into_iter().map(|example| example.args).collect()
}

fn page(incident: &str) -> String {
    let path = format!("{}/docs/runbooks/{incident}.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Commands of a section that are for this engine.
fn section(page: &str, title: &str, engine: &str) -> Vec<Example> {
    let other = if engine == "docker" { "On the embedded engine" } else { "On Docker" };
    let body = page.split(&format!("\n## {title}\n")).nth(1).unwrap_or_default();
    let body = body.split("\n## ").next().unwrap_or_default();
    let (mut all, mut paragraph, mut in_block): (Vec<Example>, String, bool) = (Vec::new(), String::new(), false);
    for line in body.lines() {
        let Some(code) = line.strip_prefix("    ") else {
            if line.trim().is_empty() {
                continue;
            }
            if in_block {
                paragraph.clear();
            }
            in_block = false;
            paragraph.push_str(line);
            paragraph.push(' ');
            continue;
        };
        in_block = true;
        if paragraph.contains(other) {
            continue;
        }
        if let Some(command) = code.strip_prefix("$ ") {
            let command = command.strip_prefix("lab ").unwrap_or_else(|| panic!("{command} is not a lab command"));
            all.push(Example { args: words(command), output: Vec::new() });
        } else if let Some(example) = all.last_mut() {
            example.output.push(code.to_owned());
        }
    }
    all
}

/// Splits a command like a shell, with single quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn execute(incident: &str, example: &Example, lab: &dyn Fn(&[&str]) -> CommandOutput) {
    let args: Vec<&str> = example.args.iter().map(String::as_str).collect();
    // Prometheus sees the state of the lab only after its next scrape.
    let timeout = if args.first() == Some(&"query") { Duration::from_secs(20) } else { Duration::ZERO };
    let begun = Instant::now();
    loop {
        let result = lab(&args);
        // A command that shows a failure may fail, but it is never a wrong command.
        assert_ne!(result.code(), Some(2), "{incident}: {result:?}");
        let Some(missing) = missing_line(example, &result) else { return };
        assert!(
            begun.elapsed() < timeout,
            "{incident}: the output of lab {} lacks\n  {missing}\nin\n{}\n{}",
            args.join(" "),
            result.stdout,
            result.stderr
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// First line of the sample output without a match in the real output.
fn missing_line(example: &Example, result: &CommandOutput) -> Option<String> {
    let real: Vec<String> = result.stdout.lines().chain(result.stderr.lines()).map(collapse_whitespace).collect();
    let is_missing = |sample: &String| !real.iter().any(|line| matches_sample(sample, line));
    example.output.iter().map(|line| collapse_whitespace(line)).find(is_missing)
}

fn collapse_whitespace(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns true if the line consists of the parts of the sample in this order, with any text instead of each `…`.
fn matches_sample(sample: &str, line: &str) -> bool {
    let parts: Vec<&str> = sample.split('…').map(str::trim).collect();
    let [first, middle @ .., last] = &parts[..] else { return sample == line };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn an_ellipsis_stands_for_any_text() {
    for (sample, line, like) in [
        ("a b", "a b", true),
        ("a b", "a b c", false),
        ("a …", "a b c", true),
        ("a … c", "a b c", true),
        ("a … c", "a b c d", false),
        ("… 502 … refused", "x 502 y refused", true),
        ("… 502 … refused", "x 503 y refused", false),
    ] {
        assert_eq!(matches_sample(sample, line), like, "{sample}: {line}");
    }
}
