//! [`Variables`]: what `${NAME}` stands for in a stack's file. Those of lab itself come first, then those of the host's
//! environment, then those of the `.env` beside the file. It keeps account of what was asked for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

/// The variables of a stack.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// Passwords that lab makes for each lab.
    own: BTreeMap<String, String>,
    host: BTreeMap<OsString, OsString>,
    /// Those of the `.env`.
    pub(super) file: BTreeMap<String, String>,
    used: RefCell<Used>,
}

/// What was asked for.
#[derive(Debug, Default)]
struct Used {
    host: BTreeSet<String>,
    overruled: BTreeSet<String>,
}

/// The value of a variable is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Variables {
    pub(super) fn new(own: &BTreeMap<String, String>, host: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self { own: own.clone(), host: host.into_iter().collect(), ..Self::default() }
    }

    /// The value of a variable, if it is set.
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, NotUtf8> {
        let host = self.host.get(OsStr::new(name));
        let file = self.file.get(name).map(String::as_str);
        if let Some(own) = self.own.get(name) {
            if host.is_some() || file.is_some() {
                self.used.borrow_mut().overruled.insert(name.to_owned());
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

    /// Whether the host's environment has a variable that is not empty.
    pub(super) fn is_on_host(&self, name: &str) -> bool {
        self.host.get(OsStr::new(name)).is_some_and(|value| !value.is_empty())
    }

    /// Variables of the host's environment that the stack's file asked for.
    pub(super) fn taken_from_host(&self) -> Vec<String> {
        self.used.borrow().host.iter().cloned().collect()
    }

    /// Variables that were set, and have lab's own value all the same.
    pub(super) fn overruled(&self) -> Vec<String> {
        self.used.borrow().overruled.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::{NotUtf8, Variables};

    #[test]
    fn labs_own_come_first_then_the_hosts_then_those_of_the_file() {
        let own = BTreeMap::from([("PASSWORD".to_owned(), "own".to_owned())]);
        let host = ["PASSWORD", "TAG", "UNUSED"].map(|name| (name.into(), OsString::from("host")));
        let mut variables = Variables::new(&own, host);
        variables.file = ["PASSWORD", "TAG", "ONLY"].map(|name| (name.to_owned(), "file".to_owned())).into();
        let get = |name| variables.get(name).unwrap();
        assert_eq!(["PASSWORD", "TAG", "ONLY", "NONE"].map(get), [Some("own"), Some("host"), Some("file"), None]);
        assert_eq!(variables.taken_from_host(), ["TAG"]);
        assert_eq!(variables.overruled(), ["PASSWORD"]);
    }

    #[test]
    fn a_value_that_is_not_utf_8_is_an_error_only_if_it_is_asked_for() {
        let host = [("BAD".into(), OsString::from_vec(vec![0xff])), (OsString::from_vec(vec![0xfe]), "x".into())];
        let variables = Variables::new(&BTreeMap::new(), host);
        assert_eq!(variables.get("OTHER"), Ok(None));
        assert_eq!(variables.get("BAD"), Err(NotUtf8));
    }
}
