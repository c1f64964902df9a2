//! Live events of a lab's runs, read from the event files while the runs write them. Observers do not slow a run down.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};

use lab_core::event::{Event, EventKind};
use lab_system::files;

/// The file of a run's events, in its folder.
const EVENTS: &str = "events.ndjson";

/// The runs of one lab, with a read position in each.
#[derive(Debug)]
pub struct Runs {
    lab: String,
    folder: PathBuf,
    /// Of the runs that exist at the first poll, those with smaller ids are ignored. Later runs are new regardless of their ids,
    /// which come from the wall clock and can go backwards.
    since: String,
    /// Ids of ignored runs.
    old: BTreeSet<String>,
    /// Modification time of the runs folder at the last poll.
    changed: Option<SystemTime>,
    open: BTreeMap<String, Tail>,
}

/// An event of a run of this lab.
#[derive(Clone, Debug, PartialEq)]
pub struct RunEvent {
    /// Run id.
    pub run: String,
    /// Event as read from the event file.
    pub event: Event,
}

/// Read position in the events of a run.
#[derive(Debug, Default)]
struct Tail {
    offset: u64,
    /// The run has ended, or belongs to another lab.
    done: bool,
}

impl Runs {
    /// Follows the runs of the last hour and all later ones. `lab` is the folder `labs/NAME`, next to `runs/`.
    pub fn new(lab: &Path, now: DateTime<Utc>) -> Self {
        let root = lab.parent().and_then(Path::parent).unwrap_or(lab);
        Self {
            lab: lab.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            folder: root.join("runs"),
            since: (now - TimeDelta::hours(1)).format("%Y%m%dT%H%M%SZ").to_string(),
            old: BTreeSet::new(),
            changed: None,
            open: BTreeMap::new(),
        }
    }

    /// Returns the events since the last call, older runs first. Unreadable files are skipped.
    pub fn poll(&mut self) -> Vec<RunEvent> {
        let changed = std::fs::metadata(&self.folder).and_then(|folder| folder.modified()).ok();
        if changed.is_some() && changed != self.changed {
            let is_first = self.changed.is_none();
            self.changed = changed;
            let names = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
            for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
                if is_first && name < self.since {
                    self.old.insert(name);
                } else if !self.old.contains(&name) {
                    self.open.entry(name).or_default();
                }
            }
        }
        let mut events = Vec::new();
        for (run, tail) in self.open.iter_mut().filter(|(_, tail)| !tail.done) {
            let (before, is_fresh) = (events.len(), tail.offset == 0);
            // The next call continues at this position.
            let _ = tail.follow(&self.folder.join(run).join(EVENTS), &self.lab, |event| {
                events.push(RunEvent { run: run.clone(), event });
            });
            // An old run that appears whole was copied here.
            if is_fresh && tail.done && *run < self.since {
                events.truncate(before);
            }
        }
        events
    }
}

impl Tail {
    fn follow(&mut self, path: &Path, lab: &str, mut emit: impl FnMut(Event)) -> std::io::Result<()> {
        let mut file = files::open_state(path, files::JOURNAL_LIMIT)?;
        if file.metadata()?.len() <= self.offset {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        while !self.done {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                break;
            }
            self.offset += read as u64;
            // Event kinds of later versions are skipped.
            let Ok(event) = serde_json::from_slice::<Event>(&line) else { continue };
            match &event.kind {
                EventKind::RunStarted(run) if run.lab != lab => {
                    self.done = true;
                    return Ok(());
                }
                EventKind::RunFinished(_) => self.done = true,
                _ => {}
            }
            emit(event);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const STARTED: &str = r#"{"at":"2026-11-24T10:15:30Z","elapsed":0,"event":"run_started","version":1,"id":"ID","scenario":"rotate-key","title":"","lab":"LAB","engine":"embedded","parameters":{},"steps":[],"keys":{"server":"a","caller":"a"}}"#;
    const STEP: &str = r#"{"at":"2026-11-24T10:15:32Z","elapsed":2,"event":"step_started","index":1,"name":"rotate-key","phase":"inject","action":"rotate_key"}"#;

    fn write(runs: &Path, id: &str, text: &str) {
        std::fs::create_dir_all(runs.join(id)).expect("ours");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(runs.join(id).join(EVENTS));
        file.expect("ours").write_all(text.as_bytes()).expect("ours");
    }

    #[test]
    fn a_run_after_a_clock_change_is_listed_and_a_copied_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let runs = folder.path().join("runs");
        let started = STARTED.replace("LAB", "default") + "\n";
        write(&runs, "20261124T080000Z-1111", &started);
        let mut all = Runs::new(&folder.path().join("labs/default"), "2026-11-24T10:15:00Z".parse().expect("a time"));
        assert_eq!(all.poll(), [], "it is more than an hour old");
        let finished = r#"{"at":"2026-11-24T08:15:32Z","elapsed":2,"event":"run_finished","status":"failed","duration":2,"outage":null,"undo":{"status":"complete","items":[]},"keys":null,"reason":null}"#;
        write(&runs, "20261124T083000Z-2222", &(started.clone() + STEP + "\n"));
        write(&runs, "20261124T083100Z-3333", &(started + finished + "\n"));
        // The folder's time must differ from the one before.
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        std::fs::File::open(&runs).expect("ours").set_modified(later).expect("ours");
        let ids: Vec<String> = all.poll().into_iter().map(|event| event.run).collect();
        assert_eq!(ids, ["20261124T083000Z-2222", "20261124T083000Z-2222"]);
    }

    #[test]
    fn runs_of_the_lab_are_listed_once_their_lines_are_complete() {
        let folder = tempfile::tempdir().expect("a folder");
        let now: DateTime<Utc> = "2026-11-24T10:15:00Z".parse().expect("a time");
        let mut all = Runs::new(&folder.path().join("labs/default"), now);
        assert_eq!(all.poll(), []);
        let runs = folder.path().join("runs");
        let (mine, others, old) = ("20261124T101530Z-7f3a", "20261124T101531Z-1111", "20261123T101530Z-2222");
        let started = |lab: &str| STARTED.replace("LAB", lab) + "\n";
        write(&runs, mine, &started("default"));
        write(&runs, mine, &STEP[..40]);
        write(&runs, others, &(started("room-2") + STEP + "\n"));
        write(&runs, old, &(started("default") + STEP + "\n"));
        let events = all.poll();
        assert!(
            matches!(&events[..], [RunEvent { run, event }] if run == mine && matches!(event.kind, EventKind::RunStarted(_))),
            "{events:?}"
        );
        assert_eq!(all.poll(), [], "no further line is complete");
        write(&runs, mine, &(STEP[40..].to_owned() + "\n" + "{\"event\":\"of a later version\"}\n"));
        let events = all.poll();
        assert!(
            matches!(&events[..], [RunEvent { event: Event { kind: EventKind::StepStarted(step), .. }, .. }] if step.name == "rotate-key"),
            "{events:?}"
        );
        assert_eq!(all.poll(), []);
    }
}
