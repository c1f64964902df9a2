//! The loader on damaged and malicious files; `cargo bench --bench fuzz_loader` tries many more. It never panics or hangs, and the
//! schema accepts every file that it accepts.

use std::time::{Duration, Instant};

use lab_scenario::{LoadOptions, Source, load};

use crate::mutate::Mutator;
use crate::schema::Checker;

/// Number of files.
const INPUTS: u64 = 400;
/// Time limit of one file: more than a thousand times the time for a file of the library, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn no_file_breaks_the_loader_and_the_schema_is_never_stricter() {
    let checker = Checker::new();
    let (mut accepted, mut rejected) = (0, 0);
    for seed in 0..INPUTS {
        let text = Mutator::new(seed).file();
        let source = Source::Text { name: "mutant.yaml".into(), text: text.clone() };
        let begun = Instant::now();
        let found = load(&source, &LoadOptions::default());
        let took = begun.elapsed();
        assert!(took < LIMIT, "seed {seed} took {took:?}:\n{text}");
        match found {
            Ok(_) => {
                accepted += 1;
                if let Err(error) = checker.check(&text) {
                    panic!("seed {seed}: the loader accepts the file, the schema does not: {error}\n{text}");
                }
            }
            Err(found) => {
                rejected += 1;
                assert!(!found.items().is_empty(), "seed {seed} is rejected without a message");
                assert!(!found.render(true).is_empty());
            }
        }
    }
    assert!(
        accepted > 20 && rejected > 100,
        "{accepted} accepted, {rejected} rejected: the mutations are too weak or too strong"
    );
}
