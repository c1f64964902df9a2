//! What steps are called: as somebody named them, and no two alike.

use std::collections::{BTreeMap, BTreeSet};

use super::{Flat, Loader};
use lab_yaml::{Diagnostic, Place};

impl Loader {
    /// Two steps of one list with the same name, both of which somebody has given.
    pub(super) fn duplicates<'f>(&mut self, flats: impl Iterator<Item = &'f Flat>) {
        let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
        for flat in flats.filter(|flat| !flat.unnamed) {
            let Some(first) = seen.get(flat.name.as_str()) else {
                seen.insert(&flat.name, &flat.here);
                continue;
            };
            // Within one include it was found there.
            if **first != flat.here {
                self.out.push(
                    Diagnostic::at(format!("two steps are named `{}`", flat.name), &flat.here)
                        .label("give this one a `name` of its own")
                        .note(format!("the first is at {first}")),
                );
            }
        }
    }
}

/// A name given to an include is that of its only step, or stands before those of its steps.
pub(super) fn rename(flats: &mut [Flat], name: &str) {
    if let [flat] = flats {
        name.clone_into(&mut flat.name);
        flat.unnamed = false;
        return;
    }
    settle([flats]);
    for flat in flats {
        flat.name = format!("{name}/{}", flat.name);
    }
}

/// Gives every step that nobody has named a name that is free: `traffic`, `traffic-2`, `traffic-3`.
pub(super) fn settle<const N: usize>(mut lists: [&mut [Flat]; N]) {
    let named = |list: &&mut [Flat]| -> Vec<String> {
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
