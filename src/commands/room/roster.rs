//! The roster: a file with the names of the participants, one per line, in the order of the seats.

use std::path::Path;

use lab_core::error::Failure;
use lab_report::term::is_invisible;
use lab_room::config::LONGEST_NAME;
use lab_system::files;

/// Maximum size of the file in bytes.
const LIMIT: u64 = 256 << 10;

/// Reads the names. Empty lines, and those that begin with `#`, are ignored.
pub(super) fn read(path: &Path, seats: u16) -> Result<Vec<String>, Failure> {
    let wrong = |why: String| Failure::usage(format!("--roster {}: {why}", path.display()));
    let bytes = files::read_input(path, LIMIT).map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    let names = parse(&text).map_err(wrong)?;
    if names.len() > usize::from(seats) {
        let failure = wrong(format!("it has {} names for {seats} seats", names.len()));
        return Err(failure.hint(format!("add --seats {}", names.len())));
    }
    Ok(names)
}

fn parse(text: &str) -> Result<Vec<String>, String> {
    let mut names: Vec<(usize, String)> = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, name) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        let length = name.chars().count();
        if length > LONGEST_NAME {
            return Err(format!("line {line} has {length} characters; a name has at most {LONGEST_NAME}"));
        }
        if name.chars().any(|c| c.is_control() || is_invisible(c)) {
            return Err(format!("line {line} has a control character"));
        }
        if let Some((first, _)) = names.iter().find(|(_, known)| known == name) {
            return Err(format!("{name:?} is in line {first} and in line {line}: add an initial to tell them apart"));
        }
        names.push((line, name.to_owned()));
    }
    if names.is_empty() {
        Err("it has no names".to_owned())
    } else {
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_has_one_name_per_line() {
        let text = "\u{feff}Ada Lovelace\r\n\n# left early\n  Zoë O'Neil  \n";
        assert_eq!(parse(text).unwrap(), ["Ada Lovelace", "Zoë O'Neil"]);
        for (text, why) in [
            ("", "no names"),
            ("# a\n", "no names"),
            ("Ada\n\nAda\n", "in line 1 and in line 3"),
            ("Ada\u{1b}[2J", "line 1 has a control character"),
            ("Ada\u{202e}", "line 1 has a control character"),
            (&"x".repeat(61), "61 characters"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn problems_of_the_file_name_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.txt");
        let error = read(&path, 3).unwrap_err().to_string();
        assert!(error.contains("--roster") && error.contains("names.txt"), "{error}");
        std::fs::write(&path, "a\nb\nc\nd\n").unwrap();
        let failure = read(&path, 3).unwrap_err();
        assert!(failure.message.contains("4 names for 3 seats"), "{}", failure.message);
        assert_eq!(failure.hint.as_deref(), Some("add --seats 4"));
        std::fs::write(&path, [0xff]).unwrap();
        assert!(read(&path, 3).unwrap_err().message.contains("UTF-8"));
    }
}
