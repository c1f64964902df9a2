//! The diagnosis of an incident: the location and the kind of its cause. Both come from fixed lists that are the same for every
//! incident, so the lists give nothing away and an answer can be compared exactly.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Part of the system that must be fixed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Location {
    /// What a customer's system sends, or how it sends it.
    Caller,
    /// What is stored about a caller.
    Account,
    /// The proxy in front of the app.
    Gateway,
    /// The service itself.
    App,
    /// The database.
    Database,
    /// A service that the app calls.
    Partner,
    /// Metrics, alerts and dashboards.
    Monitoring,
    /// No part is faulty.
    Nowhere,
}

/// Kind of cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Cause {
    /// No process.
    #[serde(rename = "does not run")]
    NotRunning,
    /// A process that never answers.
    #[serde(rename = "hangs")]
    Hangs,
    /// It answers too late, although no resource is exhausted.
    #[serde(rename = "slow")]
    Slow,
    /// More requests than were agreed.
    #[serde(rename = "sends too much")]
    SendsTooMuch,
    /// A resource is exhausted.
    #[serde(rename = "used up")]
    UsedUp,
    /// A limit is set too low, although no resource is exhausted.
    #[serde(rename = "limit too low")]
    LimitTooLow,
    /// It stops waiting before a normal response can arrive.
    #[serde(rename = "timeout too short")]
    TimeoutTooShort,
    /// The credential is lost on the way.
    #[serde(rename = "credential not passed on")]
    CredentialNotPassedOn,
    /// The credential was never the right one.
    #[serde(rename = "credential wrong")]
    CredentialWrong,
    /// The credential was replaced elsewhere.
    #[serde(rename = "credential out of date")]
    CredentialOutOfDate,
    /// Its own end date has passed.
    #[serde(rename = "has expired")]
    Expired,
    /// A permission was not granted, or was removed.
    #[serde(rename = "permission missing")]
    PermissionMissing,
    /// A rule refuses requests that it should let pass.
    #[serde(rename = "rule too wide")]
    RuleTooWide,
    /// It points to the wrong place.
    #[serde(rename = "address or path wrong")]
    AddressWrong,
    /// It requests something that no longer exists.
    #[serde(rename = "requests what is gone")]
    RequestsWhatIsGone,
    /// An outdated copy is delivered.
    #[serde(rename = "old copy served")]
    OldCopyServed,
    /// Old and new version run side by side.
    #[serde(rename = "half rolled out")]
    HalfRolledOut,
    /// A new setting never took effect.
    #[serde(rename = "setting refused")]
    SettingRefused,
    /// It waits for a lock that another session holds.
    #[serde(rename = "waits for a lock")]
    WaitsForLock,
    /// Its clock is wrong.
    #[serde(rename = "clock wrong")]
    ClockWrong,
    /// Nothing is faulty.
    #[serde(rename = "nothing is wrong")]
    Nothing,
}

impl Location {
    /// All locations, in the order in which every drill shows them.
    pub const ALL: [Self; 8] = [
        Self::Caller,
        Self::Account,
        Self::Gateway,
        Self::App,
        Self::Database,
        Self::Partner,
        Self::Monitoring,
        Self::Nowhere,
    ];

    /// Name in scenario files, on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Account => "account",
            Self::Gateway => "gateway",
            Self::App => "app",
            Self::Database => "database",
            Self::Partner => "partner",
            Self::Monitoring => "monitoring",
            Self::Nowhere => "nowhere",
        }
    }

    /// One-line description.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Caller => "the requests that a customer's system sends",
            Self::Account => "the stored data of a caller: expiry of the key, permissions, limits",
            Self::Gateway => "the proxy: its rules, limits, cache and routes",
            Self::App => "the service: its settings and revisions",
            Self::Database => "the database",
            Self::Partner => "a service that the app calls",
            Self::Monitoring => "metrics, alerts and dashboards",
            Self::Nowhere => "no part is faulty",
        }
    }

    /// Location with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|location| location.name() == name)
    }

    /// Location with this name as people type it, in any case.
    pub fn from_typed(typed: &str) -> Option<Self> {
        Self::from_name(&words(typed))
    }
}

impl Cause {
    /// All causes, in the order in which every drill shows them.
    pub const ALL: [Self; 21] = [
        Self::NotRunning,
        Self::Hangs,
        Self::Slow,
        Self::SendsTooMuch,
        Self::UsedUp,
        Self::LimitTooLow,
        Self::TimeoutTooShort,
        Self::CredentialNotPassedOn,
        Self::CredentialWrong,
        Self::CredentialOutOfDate,
        Self::Expired,
        Self::PermissionMissing,
        Self::RuleTooWide,
        Self::AddressWrong,
        Self::RequestsWhatIsGone,
        Self::OldCopyServed,
        Self::HalfRolledOut,
        Self::SettingRefused,
        Self::WaitsForLock,
        Self::ClockWrong,
        Self::Nothing,
    ];

    /// Name in scenario files, on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotRunning => "does not run",
            Self::Hangs => "hangs",
            Self::Slow => "slow",
            Self::SendsTooMuch => "sends too much",
            Self::UsedUp => "used up",
            Self::LimitTooLow => "limit too low",
            Self::TimeoutTooShort => "timeout too short",
            Self::CredentialNotPassedOn => "credential not passed on",
            Self::CredentialWrong => "credential wrong",
            Self::CredentialOutOfDate => "credential out of date",
            Self::Expired => "has expired",
            Self::PermissionMissing => "permission missing",
            Self::RuleTooWide => "rule too wide",
            Self::AddressWrong => "address or path wrong",
            Self::RequestsWhatIsGone => "requests what is gone",
            Self::OldCopyServed => "old copy served",
            Self::HalfRolledOut => "half rolled out",
            Self::SettingRefused => "setting refused",
            Self::WaitsForLock => "waits for a lock",
            Self::ClockWrong => "clock wrong",
            Self::Nothing => "nothing is wrong",
        }
    }

    /// One-line description that distinguishes it from similar causes.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::NotRunning => "no process is running",
            Self::Hangs => "it is running but never answers",
            Self::Slow => "it answers too late, although no resource is exhausted",
            Self::SendsTooMuch => "it sends more requests than others can serve",
            Self::UsedUp => "a resource is exhausted",
            Self::LimitTooLow => "a limit is set too low, although no resource is exhausted",
            Self::TimeoutTooShort => "it stops waiting before a normal response can arrive",
            Self::CredentialNotPassedOn => "the credential is lost on the way",
            Self::CredentialWrong => "the credential was never valid here",
            Self::CredentialOutOfDate => "the credential was replaced elsewhere",
            Self::Expired => "its validity has ended",
            Self::PermissionMissing => "a permission was not granted, or was removed",
            Self::RuleTooWide => "a rule refuses requests that should pass",
            Self::AddressWrong => "it points to the wrong place",
            Self::RequestsWhatIsGone => "it requests something that no longer exists",
            Self::OldCopyServed => "an outdated copy is delivered",
            Self::HalfRolledOut => "old and new run side by side",
            Self::SettingRefused => "a new setting never took effect",
            Self::WaitsForLock => "another session holds a lock that it needs",
            Self::ClockWrong => "its clock is wrong",
            Self::Nothing => "nothing is faulty",
        }
    }

    /// Cause with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// Cause with this name as people type it: in any case, with spaces, `-` or `_` between the words.
    pub fn from_typed(typed: &str) -> Option<Self> {
        Self::from_name(&words(typed))
    }
}

/// Lower-cases a text and separates its words by single spaces.
fn words(text: &str) -> String {
    let text = text.to_lowercase();
    let words = text.split(|c: char| c.is_whitespace() || c == '-' || c == '_').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// One answer: a location and a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Where the cause is.
    #[serde(rename = "where")]
    pub location: Location,
    /// Kind of cause.
    #[serde(rename = "what")]
    pub cause: Cause,
}

impl Finding {
    /// The right answer if there is no incident.
    pub const NOTHING: Self = Self { location: Location::Nowhere, cause: Cause::Nothing };

    /// Returns false if only one half states that there is no fault.
    pub fn is_consistent(self) -> bool {
        (self.location == Location::Nowhere) == (self.cause == Cause::Nothing)
    }
}

impl fmt::Display for Finding {
    /// Formats as `gateway / timeout too short`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.location.name(), self.cause.name())
    }
}

/// The right diagnosis of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// What must be fixed first.
    #[serde(flatten)]
    pub first: Finding,
    /// A second, independent fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also: Option<Finding>,
}

impl fmt::Display for Diagnosis {
    /// Formats as `gateway / credential not passed on, also account / has expired`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.also.map_or(Ok(()), |also| write!(f, ", also {also}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_are_those_of_the_serialized_form() {
        for location in Location::ALL {
            assert_eq!(Location::from_name(location.name()), Some(location));
            assert_eq!(serde_json::to_value(location).unwrap(), location.name());
        }
        for cause in Cause::ALL {
            assert_eq!(Cause::from_name(cause.name()), Some(cause));
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.name());
        }
        assert_eq!((Location::from_name("cloud"), Cause::from_name("")), (None, None));
    }

    #[test]
    fn a_diagnosis_is_a_flat_object() {
        let first = Finding { location: Location::Gateway, cause: Cause::CredentialNotPassedOn };
        let also = Finding { location: Location::Account, cause: Cause::Expired };
        let text =
            r#"{"where":"gateway","what":"credential not passed on","also":{"where":"account","what":"has expired"}}"#;
        let diagnosis = Diagnosis { first, also: Some(also) };
        assert_eq!(serde_json::to_string(&diagnosis).unwrap(), text);
        assert_eq!(serde_json::from_str::<Diagnosis>(text).unwrap(), diagnosis);
    }

    #[test]
    fn names_may_be_typed_in_any_case_and_with_hyphens() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_typed(&cause.name().replace(' ', "-").to_uppercase()), Some(cause));
        }
        assert_eq!(Cause::from_typed("timeout_too  short"), Some(Cause::TimeoutTooShort));
        assert_eq!((Cause::from_typed("timeout"), Location::from_name("Gateway")), (None, None));
        assert_eq!(Location::from_typed(" Gateway "), Some(Location::Gateway));
    }

    #[test]
    fn no_fault_is_nowhere() {
        let finding = |location, cause| Finding { location, cause };
        assert!(Finding::NOTHING.is_consistent());
        assert!(finding(Location::App, Cause::Slow).is_consistent());
        assert!(!finding(Location::Nowhere, Cause::Slow).is_consistent());
        assert!(!finding(Location::App, Cause::Nothing).is_consistent());
    }

    #[test]
    fn a_diagnosis_is_shown_in_one_line() {
        let first = Finding { location: Location::Gateway, cause: Cause::CredentialNotPassedOn };
        let also = Finding { location: Location::Account, cause: Cause::Expired };
        assert_eq!(Diagnosis { first, also: None }.to_string(), "gateway / credential not passed on");
        let both = "gateway / credential not passed on, also account / has expired";
        assert_eq!(Diagnosis { first, also: Some(also) }.to_string(), both);
    }
}
