//! [`Variables`] for `${NAME}` in a stack file, in the order of precedence: lab's own, the host's environment, the `.env` beside
//! the file. Records which ones were used.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

#[derive(Debug, Default)]
pub(super) struct Variables {
    /// Passwords that are generated for each lab.
    own: BTreeMap<String, String>,
    host: BTreeMap<OsString, OsString>,
    /// Variables of the `.env`.
    pub(super) file: BTreeMap<String, String>,
    used: RefCell<Used>,
}

/// Variables that were looked up.
#[derive(Debug, Default)]
struct Used {
    host: BTreeSet<String>,
    overridden: BTreeSet<String>,
}

/// Error for a variable whose value is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Variables {
    pub(super) fn new(own: &BTreeMap<String, String>, host: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self { own: own.clone(), host: host.into_iter().collect(), ..Self::default() }
    }

    /// Looks up a variable and records its use.
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, NotUtf8> {
        let host = self.host.get(OsStr::new(name));
        let file = self.file.get(name).map(String::as_str);
        if let Some(own) = self.own.get(name) {
            if host.is_some() || file.is_some() {
                self.used.borrow_mut().overridden.insert(name.to_owned());
            }
            return Ok(Some(own));
        }
        match host {
            Some(value) => {
                self.used.borrow_mut().host.insert(name.to_owned());
                value.to_str().map(Some).ok_or(NotUtf8)
            }
            None => Ok(file),
        }
    }

    /// Returns true if the host's environment has a non-empty variable.
    pub(super) fn is_on_host(&self, name: &str) -> bool {
        self.host.get(OsStr::new(name)).is_some_and(|value| !value.is_empty())
    }

    /// Variables of the host's environment that were used.
    pub(super) fn used_from_host(&self) -> Vec<String> {
        self.used.borrow().host.iter().cloned().collect()
    }

    /// Variables that were set but overridden by lab's own.
    pub(super) fn overridden(&self) -> Vec<String> {
        self.used.borrow().overridden.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::{NotUtf8, Variables};

    #[test]
    fn lab_then_host_then_file_is_the_order_of_precedence() {
        let own = BTreeMap::from([("PASSWORD".to_owned(), "own".to_owned())]);
        let host = ["PASSWORD", "TAG", "UNUSED"].map(|name| (name.into(), OsString::from("host")));
        let mut variables = Variables::new(&own, host);
        variables.file = ["PASSWORD", "TAG", "ONLY"].map(|name| (name.to_owned(), "file".to_owned())).into();
        let get = |name| variables.get(name).unwrap();
        assert_eq!(["PASSWORD", "TAG", "ONLY", "NONE"].map(get), [Some("own"), Some("host"), Some("file"), None]);
        assert_eq!(variables.used_from_host(), ["TAG"]);
        assert_eq!(variables.overridden(), ["PASSWORD"]);
    }

    #[test]
    fn a_value_that_is_not_utf_8_is_only_an_error_if_it_is_used() {
        let host = [("BAD".into(), OsString::from_vec(vec![0xff])), (OsString::from_vec(vec![0xfe]), "x".into())];
        let variables = Variables::new(&BTreeMap::new(), host);
        assert_eq!(variables.get("OTHER"), Ok(None));
        assert_eq!(variables.get("BAD"), Err(NotUtf8));
    }
}
