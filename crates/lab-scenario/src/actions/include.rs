//! `scenario`: includes the steps of another scenario. `resolve` replaces the step with them, so a plan has no
//! [`Action`] for it.
//!
//! [`Action`]: super::Action

use super::{Definition, Reading};
use crate::schema::{KeySpec, Shape, kinds};

pub(super) static DEFINITION: Definition = Definition::new(
    KeySpec::new(
        "scenario",
        Shape::Scalar(kinds::SCENARIO),
        "includes the steps of another scenario, from the same folder or else from the library",
        "baseline",
    ),
    Reading::Include,
);
