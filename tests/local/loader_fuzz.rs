//! The loader on files with slips and malice in them: a small number of what `cargo bench --bench fuzz_loader` tries. It
//! never panics, it ends in time, and whatever it takes the schema takes as well.

use std::time::{Duration, Instant};

use lab_scenario::{LoadOptions, Source, load};

use crate::mutate::Mutator;
use crate::schema::Checker;

/// The inputs of one test.
const INPUTS: u64 = 400;
/// More than a thousand times what a file of the library takes: longer is a hang, even on a machine that is busy.
const LONGEST: Duration = Duration::from_secs(20);

#[test]
fn no_file_breaks_the_loader_and_the_schema_is_never_stricter() {
    let checker = Checker::new();
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..INPUTS {
        let text = Mutator::new(seed).file();
        let source = Source::Text { name: "mutant.yaml".into(), text: text.clone() };
        let begun = Instant::now();
        let found = load(&source, &LoadOptions::default());
        let took = begun.elapsed();
        assert!(took < LONGEST, "seed {seed} took {took:?}:\n{text}");
        match found {
            Ok(_) => {
                taken += 1;
                if let Err(error) = checker.check(&text) {
                    panic!("seed {seed}: the loader takes it, the schema does not: {error}\n{text}");
                }
            }
            Err(found) => {
                refused += 1;
                assert!(!found.items().is_empty(), "seed {seed} is refused without a reason");
                assert!(!found.render(true).is_empty());
            }
        }
    }
    assert!(taken > 20 && refused > 100, "{taken} taken, {refused} refused: the mutations do not do what they should");
}
