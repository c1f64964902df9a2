//! [`ActionFields`]: reads the keys of an action whose value is a mapping.

use crate::Expected;
use crate::file::{Args, StepFile};
use crate::reader::Reader;
use crate::schema::{DefaultValue, KeySpec, Shape};
use crate::{template, value};
use lab_yaml::node::Text;
use lab_yaml::{Diagnostic, did_you_mean, quote_list};

/// Value of one action.
pub(super) struct ActionFields<'f, 'a> {
    pub(super) step: &'f StepFile,
    pub(super) reader: &'f mut Reader<'a>,
}

impl ActionFields<'_, '_> {
    pub(super) fn text(&self, key: &str) -> Option<Text> {
        match &self.step.args {
            Args::Fields { texts, .. } => texts.get(key).cloned(),
            Args::Text(_) => None,
        }
    }

    pub(super) fn map(&self, key: &str) -> Vec<(Text, Option<Text>)> {
        match &self.step.args {
            Args::Fields { maps, .. } => maps.get(key).cloned().unwrap_or_default(),
            Args::Text(_) => Vec::new(),
        }
    }

    pub(super) fn list(&self, key: &str) -> Vec<Text> {
        match &self.step.args {
            Args::Fields { lists, .. } => lists.get(key).cloned().unwrap_or_default(),
            Args::Text(_) => Vec::new(),
        }
    }

    /// Parses the value of a key. Returns `None` if the key is missing or the value is wrong (which is reported).
    pub(super) fn value<T>(&mut self, key: &str, read: impl Fn(&str) -> Result<T, Expected>) -> Option<T> {
        let text = self.text(key)?;
        self.reader.value(key, &text, read)
    }

    /// Like [`Self::value`], with the default of the schema if the key is missing or its value is wrong.
    pub(super) fn value_or_default<T>(&mut self, key: &str, read: impl Fn(&str) -> Result<T, Expected>) -> T {
        self.value(key, &read).unwrap_or_else(|| default_of(self.spec(key), &read))
    }

    fn spec(&self, key: &str) -> &'static KeySpec {
        match self.step.kind.definition().key.shape {
            Shape::Mapping(mapping) => mapping.keys.iter().find(|spec| spec.name == key),
            _ => None,
        }
        .expect("the action has this key")
    }

    /// Returns true if the value is only a sample that stands for an output of an earlier step.
    pub(super) fn is_sample(&mut self, key: &str) -> bool {
        let text = self.text(key).filter(|_| self.reader.lookup.is_none());
        text.is_some_and(|text| template::has_outputs(&text, self.reader.scope))
    }

    pub(super) fn headers(&mut self) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, text) in self.map("headers") {
            let known = self.reader.fixed("headers", &name, value::header_name);
            let text = text.and_then(|text| self.reader.value(&name.text, &text, value::header_value));
            if let (Some(name), Some(text)) = (known, text) {
                headers.push((name, text));
            }
        }
        headers
    }

    /// Callers of a step: those listed, else all callers of the file. Empty if the file declares none.
    pub(super) fn callers(&mut self) -> Vec<String> {
        let known: Vec<String> = self.reader.context.callers.iter().map(|caller| caller.name.clone()).collect();
        let wanted = self.list("callers");
        if wanted.is_empty() {
            return known;
        }
        let mut callers: Vec<String> = Vec::new();
        for text in wanted {
            let names = || known.iter().map(String::as_str);
            let has = if known.is_empty() {
                "there are no `callers` at the top of the file".to_owned()
            } else {
                format!("the callers: {}", quote_list(names()))
            };
            let read = |name: &str| match known.iter().find(|known| *known == name) {
                Some(name) => Ok(name.clone()),
                None => Err(Expected::new(did_you_mean(name, names(), &has))),
            };
            let Some(name) = self.reader.fixed("callers", &text, read) else { continue };
            if callers.contains(&name) {
                let twice = Diagnostic::at(format!("`{name}` is listed twice"), &text.place);
                self.reader.out.push(twice.label("remove one of the two"));
            } else {
                callers.push(name);
            }
        }
        callers
    }
}

/// Default value of a key, read like a value of the file.
pub(super) fn default_of<T>(key: &KeySpec, read: impl Fn(&str) -> Result<T, Expected>) -> T {
    match key.default {
        DefaultValue::Value(value) => read(value).ok(),
        DefaultValue::None | DefaultValue::Described(_) => None,
    }
    .expect("the key has a valid default")
}
