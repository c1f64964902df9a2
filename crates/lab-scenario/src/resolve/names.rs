//! Names of steps: explicit or generated, and unique.

use std::collections::{BTreeMap, BTreeSet};

use super::{FlatStep, Loader};
use lab_yaml::{Diagnostic, Place};

impl Loader {
    /// Reports steps of one file with the same explicit name.
    pub(super) fn report_duplicate_names<'f>(&mut self, flats: impl Iterator<Item = &'f FlatStep>) {
        let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
        for flat in flats.filter(|flat| !flat.unnamed) {
            let Some(first) = seen.get(flat.name.as_str()) else {
                seen.insert(&flat.name, &flat.here);
                continue;
            };
            // Duplicates within an include are reported there.
            if **first != flat.here {
                self.out.push(
                    Diagnostic::at(format!("two steps are named `{}`", flat.name), &flat.here)
                        .label("give this one another `name`")
                        .note(format!("the first one is at {first}")),
                );
            }
        }
    }
}

/// Applies the name of an include: to its only step, or as a prefix to all of its steps.
pub(super) fn rename(flats: &mut [FlatStep], name: &str) {
    if let [flat] = flats {
        name.clone_into(&mut flat.name);
        flat.unnamed = false;
        return;
    }
    assign_names([flats]);
    for flat in flats {
        flat.name = format!("{name}/{}", flat.name);
    }
}

/// Gives each unnamed step a free name: `traffic`, `traffic-2`, `traffic-3`.
pub(super) fn assign_names<const N: usize>(mut lists: [&mut [FlatStep]; N]) {
    let named = |list: &&mut [FlatStep]| -> Vec<String> {
        list.iter().filter(|flat| !flat.unnamed).map(|flat| flat.name.clone()).collect()
    };
    let mut taken: BTreeSet<String> = lists.iter().flat_map(named).collect();
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    for flat in lists.iter_mut().flat_map(|list| list.iter_mut()).filter(|flat| flat.unnamed) {
        let number = next.entry(flat.name.clone()).or_insert(1);
        let name = loop {
            let name = if *number == 1 { flat.name.clone() } else { format!("{}-{number}", flat.name) };
            *number += 1;
            if taken.insert(name.clone()) {
                break name;
            }
        };
        flat.name = name;
        flat.unnamed = false;
    }
}
