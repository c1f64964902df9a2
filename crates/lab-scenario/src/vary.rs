//! Values of parameters that differ from drill to drill: `vary` in scenario files. [`draw`] chooses them from numbers of
//! the caller, so that the same numbers give the same drill.

use std::collections::BTreeMap;

use super::Source;
use super::file::{self, Parameter, VaryFile};
use lab_yaml::node::Text;
use lab_yaml::{Diagnostics, quote_list};

/// Characters of drawn keys. Letters and digits that look alike are left out.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// Characters of a drawn key after its prefix.
const KEY_LENGTH: usize = 8;

/// Variation of a parameter between drills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// A new key, such as `apikey-x7k2mq3d`.
    Key,
    /// One of these values, in file order.
    OneOf(Vec<String>),
}

impl Vary {
    /// Describes the possible values, for listings: `a new key`, or the values in backticks.
    pub fn describe(&self) -> String {
        match self {
            Self::Key => "a new key".to_owned(),
            Self::OneOf(values) => quote_list(values.iter().map(String::as_str)),
        }
    }
}

/// Draws a value for each parameter of the scenario's own file that varies, in file order. `number` returns the number
/// for a parameter name, evenly distributed over all 64 bits. Pass the result to
/// [`LoadOptions::set`](super::LoadOptions::set).
///
/// # Errors
/// The file cannot be read, or has errors that can be found without the values of parameters.
pub fn draw(source: &Source, number: impl Fn(&str) -> u64) -> Result<Vec<(String, String)>, Diagnostics> {
    let mut out = Diagnostics::default();
    let file = match source.read(None) {
        Ok(text) => file::read(&text, &mut out),
        Err(diagnostic) => {
            out.push(diagnostic);
            None
        }
    };
    match file {
        Some(file) if out.is_empty() => Ok(draw_all(&file.parameters, number)),
        _ => Err(out),
    }
}

fn draw_all(parameters: &[Parameter], number: impl Fn(&str) -> u64) -> Vec<(String, String)> {
    let drawn = parameters.iter().filter_map(|parameter| {
        let name = &parameter.name.text;
        let value = match parameter.vary.as_ref()? {
            VaryFile::Key => key(number(name)),
            VaryFile::OneOf { values, with } => {
                let decider = with.as_ref().map_or(name, |with| &with.text);
                let index = number(decider) % u64::try_from(values.len()).ok()?;
                written(values.get(usize::try_from(index).ok()?)?)
            }
        };
        Some((name.clone(), value))
    });
    drawn.collect()
}

/// A key that no file contains: `apikey-` and random characters.
fn key(mut number: u64) -> String {
    let base = ALPHABET.len() as u64;
    let mut key = String::from("apikey-");
    for _ in 0..KEY_LENGTH {
        let character = usize::try_from(number % base).ok().and_then(|index| ALPHABET.get(index));
        key.push(character.map_or('x', |character| char::from(*character)));
        number /= base;
    }
    key
}

/// Text of a declared value; `$${` stands for a literal `${`.
fn written(text: &Text) -> String {
    text.text.replace("$${", "${")
}

/// Variations by parameter name.
pub(crate) fn variations(parameters: &[Parameter]) -> BTreeMap<String, Vary> {
    let variation = |parameter: &Parameter| match parameter.vary.as_ref()? {
        VaryFile::Key => Some(Vary::Key),
        // Only the values of other parameters are public.
        VaryFile::OneOf { .. } if parameter.secret => Some(Vary::OneOf(vec![lab_core::event::MASK.to_owned()])),
        VaryFile::OneOf { values, .. } => Some(Vary::OneOf(values.iter().map(written).collect())),
    };
    parameters.iter().filter_map(|parameter| Some((parameter.name.text.clone(), variation(parameter)?))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Vary, draw};
    use crate::{LoadOptions, Source, load};

    fn source(parameters: &str) -> Source {
        let text = format!(
            "title: T\nparameters: {parameters}\nsteps:\n  - run: {{ command: [say, '${{a}}', '${{b}}', '${{c}}'] }}\n"
        );
        Source::Text { name: "test.yaml".into(), text }
    }

    const THREE: &str = "{ a: { default: x, vary: key }, b: { default: 1, vary: [1, 2, 3] }, \
                         c: { default: one, vary: [one, two, three], vary_with: b } }";

    #[test]
    fn the_same_numbers_draw_the_same_values() {
        let values = draw(&source(THREE), |name| if name == "a" { 12_345_678_901 } else { 7 }).unwrap();
        let expected = [("a", "apikey-sgybh7qa"), ("b", "2"), ("c", "two")];
        assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let again = draw(&source(THREE), |name| if name == "a" { 12_345_678_901 } else { 7 }).unwrap();
        assert_eq!(values, again);
    }

    #[test]
    fn a_companion_follows_the_parameter_that_it_names() {
        let mut drawn = BTreeSet::new();
        for number in 0..9_u64 {
            // The companion's own number is not used.
            let values = draw(&source(THREE), |name| if name == "c" { number + 1 } else { number }).unwrap();
            drawn.insert((values[1].1.clone(), values[2].1.clone()));
        }
        let expected = [("1", "one"), ("2", "two"), ("3", "three")].map(|(b, c)| (b.to_owned(), c.to_owned()));
        assert_eq!(drawn, BTreeSet::from(expected));
    }

    #[test]
    fn drawn_values_are_parameters_like_others() {
        let set = draw(&source(THREE), |_| 2).unwrap();
        let plan = load(&source(THREE), &LoadOptions { set, ..LoadOptions::default() }).unwrap();
        assert_eq!((plan.parameters["b"].as_str(), plan.parameters["c"].as_str()), ("3", "three"));
        assert_eq!(plan.varied["a"], Vary::Key);
        assert_eq!(plan.varied["b"].describe(), "`1`, `2`, `3`");
    }

    #[test]
    fn mistakes_have_a_place() {
        let found = |b: &str, c: &str| {
            let text = format!("{{ a: {{ default: x }}, b: {{ default: 1, {b} }}, c: {{ default: 1, {c} }} }}");
            let found = draw(&source(&text), |_| 0).expect_err("a mistake").items().to_vec();
            assert_eq!((found.len(), found[0].line()), (1, Some(2)), "{found:?}");
            format!("{}: {}", found[0].message, found[0].label)
        };
        assert!(found("vary: keys", "secret: false").contains("`vary` is `keys`: expected `key`, or a list of values"));
        assert!(found("vary: []", "secret: false").contains("no values to choose from"));
        assert!(found("vary: ['${a}']", "secret: false").contains("value in `vary` of `b` refers to a parameter"));
        assert!(found("vary: [1, 2]", "vary: [1], vary_with: b").contains("`vary` has 1 values: expected 2"));
        assert!(found("vary: [1, 2]", "vary: [1, 2], vary_with: a").contains("`vary_with` is `a`"));
        assert!(found("vary: [1, 2]", "vary: key, vary_with: b").contains("a new key has no position"));
        assert!(found("vary: [1, 2]", "vary_with: b").contains("`vary_with` without `vary`"));
    }
}
