//! Library scenarios with random typing mistakes.

use proptest::prelude::*;
use proptest::sample::Index;

use super::{library, read};

/// Applies one random edit.
fn mutate(text: &mut String, kind: u8, at: Index, with: &str) {
    let mut lines: Vec<&str> = text.lines().collect();
    let line = at.index(lines.len().max(1));
    let points: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let point = points[at.index(points.len())];
    match kind {
        0 if !lines.is_empty() => {
            lines.remove(line);
            *text = lines.join("\n");
        }
        1 if !lines.is_empty() => {
            lines.insert(line, lines[line]);
            *text = lines.join("\n");
        }
        2 => text.truncate(point),
        3 if point < text.len() => {
            text.remove(point);
        }
        _ => text.insert_str(point, with),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_file_is_read_or_refused_with_a_place(
        which in any::<Index>(),
        changes in prop::collection::vec((0_u8..8, any::<Index>(), "[ -~]|[\\-:{}\\[\\]\"'#&*!|>%@`$\n\t é\u{85}\u{2028}]{1,3}|\\$\\{[a-z]{1,3}\\}"), 1..5),
    ) {
        let files: Vec<&str> = library::names().collect();
        let mut text = library::get(files[which.index(files.len())]).unwrap().to_owned();
        for (kind, at, with) in changes {
            mutate(&mut text, kind, at, &with);
        }
        if let Err(found) = read(&text) {
            prop_assert!(!found.render(false).is_empty());
            for item in found.items() {
                if let (Some("test.yaml"), Some(line)) = (item.file(), item.line()) {
                    prop_assert!(line >= 1 && line <= text.split('\n').count(), "{item:?}");
                }
            }
        }
    }
}
