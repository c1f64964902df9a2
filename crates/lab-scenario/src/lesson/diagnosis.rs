//! Reads the right diagnosis of an incident.

use super::super::reader::Reader;
use super::super::schema::{DIAGNOSIS, MappingSpec, SECOND_FAULT};
use super::super::value;
use lab_core::diagnosis::{Diagnosis, Finding};
use lab_yaml::fields::{self, Fields};
use lab_yaml::node::{Entry, NodeKind, Text};
use lab_yaml::{Diagnostic, Diagnostics, Place, quote_list};

/// A diagnosis as written.
#[derive(Debug)]
pub(crate) struct DiagnosisFile {
    /// Place of the key.
    pub(crate) place: Place,
    first: FindingFile,
    also: Option<FindingFile>,
}

#[derive(Debug)]
struct FindingFile {
    location: Option<Text>,
    cause: Option<Text>,
}

pub(super) fn read(entry: &Entry, out: &mut Diagnostics) -> Option<DiagnosisFile> {
    let fields = mapping(entry, &DIAGNOSIS, out)?;
    let also = fields.get("also").and_then(|entry| {
        let fields = mapping(entry, &SECOND_FAULT, out)?;
        Some(finding_file(&fields, out))
    });
    Some(DiagnosisFile { place: entry.key.place.clone(), first: finding_file(&fields, out), also })
}

fn mapping<'n>(entry: &'n Entry, spec: &MappingSpec, out: &mut Diagnostics) -> Option<Fields<'n>> {
    let NodeKind::Mapping(entries) = &entry.value.kind else {
        let expected = "a mapping: `{ where: …, what: … }`";
        out.push(match &entry.value.kind {
            NodeKind::Null => fields::missing_value(&entry.key, expected),
            _ => fields::wrong_kind(&entry.key.text, &entry.value, expected),
        });
        return None;
    };
    let fields = Fields::read(entries, spec.label, &spec.key_names(), &[], out);
    for key in ["where", "what"].into_iter().filter(|key| fields.lacks(key)) {
        let message = format!("{} has no `{key}`", spec.label);
        let label = format!("expected a mapping with {}", quote_list(["where", "what"]));
        out.push(Diagnostic::at(message, &entry.key.place).label(label));
    }
    Some(fields)
}

fn finding_file(fields: &Fields<'_>, out: &mut Diagnostics) -> FindingFile {
    FindingFile { location: fields.text("where", out), cause: fields.text("what", out) }
}

/// Looks up the names. Parameters may be used, so that a value can vary with the fault.
pub(super) fn diagnosis(file: &DiagnosisFile, reader: &mut Reader<'_>) -> Option<Diagnosis> {
    let mut finding = |file: &FindingFile| {
        let location = file.location.as_ref().and_then(|text| reader.open("where", text, value::location));
        let cause = file.cause.as_ref().and_then(|text| reader.open("what", text, value::cause));
        Some(Finding { location: location?, cause: cause? })
    };
    let also = file.also.as_ref().map(&mut finding);
    Some(Diagnosis { first: finding(&file.first)?, also: also.flatten() })
}
