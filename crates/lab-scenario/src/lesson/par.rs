//! [`Par`]: the times that a drill of the scenario is measured against.

use std::time::Duration;

use serde::Serialize;

use super::{Difficulty, seconds};
use crate::reader::Reader;
use crate::schema::PAR;
use crate::value;
use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{Entry, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics, Place};

/// Times in which an experienced person reaches each phase, from the first failed request. In JSON: seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Par {
    /// Time to notice the incident.
    #[serde(serialize_with = "seconds::serialize")]
    pub detect: Duration,
    /// Time until callers get through again. At least `detect`.
    #[serde(serialize_with = "seconds::serialize")]
    pub mitigate: Duration,
    /// Time until the resolved check passes. At least `mitigate`.
    #[serde(serialize_with = "seconds::serialize")]
    pub resolve: Duration,
}

impl Par {
    /// Default for a difficulty. Unstated counts as beginner.
    pub fn for_difficulty(difficulty: Option<Difficulty>) -> Self {
        let factor = match difficulty {
            None | Some(Difficulty::Beginner) => 2,
            Some(Difficulty::Intermediate) => 3,
            Some(Difficulty::Advanced) => 4,
        };
        let half = |seconds| Duration::from_secs(seconds) * factor / 2;
        Self { detect: half(60), mitigate: half(5 * 60), resolve: half(8 * 60) }
    }
}

impl Default for Par {
    fn default() -> Self {
        Self::for_difficulty(None)
    }
}

/// Par times as written.
#[derive(Debug)]
pub(crate) struct ParFile {
    /// Place of the key.
    place: Place,
    detect: Option<Text>,
    mitigate: Option<Text>,
    resolve: Option<Text>,
}

pub(super) fn read(entry: &Entry, out: &mut Diagnostics) -> Option<ParFile> {
    let NodeKind::Mapping(entries) = &entry.value.kind else {
        out.push(match &entry.value.kind {
            NodeKind::Null => fields::missing_value(&entry.key, "a mapping with times"),
            _ => fields::wrong_kind("par", &entry.value, "a mapping: `{ detect: 60s, mitigate: 5m, resolve: 8m }`"),
        });
        return None;
    };
    let fields = Fields::read(entries, PAR.label, &PAR.key_names(), &[], out);
    let mut text = |key| fields.text(key, out);
    Some(ParFile {
        place: entry.key.place.clone(),
        detect: text("detect"),
        mitigate: text("mitigate"),
        resolve: text("resolve"),
    })
}

/// Fills in the times that the file does not state.
pub(super) fn par(file: Option<&ParFile>, difficulty: Option<Difficulty>, reader: &mut Reader<'_>) -> Par {
    let mut par = Par::for_difficulty(difficulty);
    let Some(file) = file else { return par };
    let before = reader.out.len();
    let mut time = |key: &str, text: &Option<Text>, time: &mut Duration| {
        let stated = text.as_ref().and_then(|text| reader.fixed(key, text, value::step_duration));
        *time = stated.unwrap_or(*time);
    };
    time("detect", &file.detect, &mut par.detect);
    time("mitigate", &file.mitigate, &mut par.mitigate);
    time("resolve", &file.resolve, &mut par.resolve);
    if reader.out.len() == before && !(par.detect <= par.mitigate && par.mitigate <= par.resolve) {
        let [detect, mitigate, resolve] =
            [par.detect, par.mitigate, par.resolve].map(|time| format!("{}s", time.as_secs_f64()));
        let times = format!("detect {detect}, mitigate {mitigate}, resolve {resolve}, including defaults");
        let diagnostic = Diagnostic::at("the times of `par` are out of order", &file.place).note(times);
        reader.out.push(diagnostic.label("expected detect <= mitigate <= resolve"));
    }
    par
}
