//! `check`: sends one request and checks the response.

use std::time::Duration;

use super::fields::ActionFields;
use super::{Action, Amounts, Definition, Profile, Reading, keys, mapping_key};
use crate::Expected;
use crate::deferred::Response;
use crate::schema::MappingSpec;
use crate::value;
use lab_core::event::Secrets;
use lab_yaml::{Diagnostic, did_you_mean, quote_list};

static KEYS: MappingSpec = MappingSpec {
    name: "check",
    label: "`check`",
    description: "Sends one request through the gateway and checks the response.",
    keys: &[
        keys::PATH.required(),
        keys::METHOD,
        keys::HEADERS,
        keys::CALLER,
        keys::KEY,
        keys::STATUS,
        keys::BODY,
        keys::TIMEOUT,
    ],
    one_of: &[],
    exclusive: &[("caller", "key")],
};

pub(super) static DEFINITION: Definition = Definition::new(
    mapping_key(&KEYS, "sends one request through the gateway and checks the response", "{ path: /health }"),
    Reading::Fields(read),
)
.with_traffic_hint("a check has its own expectations: `check: { path: /health, status: 200 }`");

/// A request and its expected response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Path on the gateway, such as `/health`.
    pub path: String,
    /// Such as `GET`.
    pub method: String,
    /// In addition to `X-API-Key`, in file order.
    pub headers: Vec<(String, String)>,
    /// Caller whose key is sent. `None`: the lab's single caller.
    pub caller: Option<String>,
    /// Replaces the caller's key in `X-API-Key`. Empty: no such header.
    pub key: Option<String>,
    /// Expected status.
    pub status: u16,
    /// Text that the body must contain.
    pub body: Option<String>,
    /// Timeout of the request.
    pub timeout: Duration,
}

fn read(mut fields: ActionFields<'_, '_>) -> Option<Action> {
    let timeout = fields.value_or_default("timeout", value::timeout);
    read_request(&mut fields, timeout).map(Action::Check)
}

pub(super) fn read_request(fields: &mut ActionFields<'_, '_>, timeout: Duration) -> Option<Check> {
    let path = fields.value("path", value::path);
    let check = Check {
        path: path.clone().unwrap_or_default(),
        method: fields.value_or_default("method", value::method),
        headers: fields.headers(),
        caller: caller(fields),
        key: fields.value("key", value::sent_key),
        status: fields.value_or_default("status", value::status),
        body: fields.value("body", value::body),
        timeout,
    };
    path.map(|_| check)
}

fn caller(fields: &mut ActionFields<'_, '_>) -> Option<String> {
    let known = &fields.reader.context.callers;
    let Some(text) = fields.text("caller") else { return known.first().map(|caller| caller.name.clone()) };
    if let Some(key) = fields.text("key") {
        fields
            .reader
            .out
            .push(Diagnostic::at("`key` cannot be combined with `caller`", &key.place).label("remove one of the two"));
    }
    let names: Vec<String> = known.iter().map(|caller| caller.name.clone()).collect();
    let has = if names.is_empty() {
        "there are no `callers` at the top of the file".to_owned()
    } else {
        format!("the callers: {}", quote_list(names.iter().map(String::as_str)))
    };
    fields.reader.fixed("caller", &text, |name| match names.iter().find(|known| *known == name) {
        Some(name) => Ok(name.clone()),
        None => Err(Expected::new(did_you_mean(name, names.iter().map(String::as_str), &has))),
    })
}

pub(super) fn profile<'a>() -> Profile<'a> {
    let amounts = Amounts { requests: Some(1), ..Amounts::default() };
    Profile { amounts, response: Response::Request, asserts: true, ..Profile::observation() }
}

pub(super) fn describe(check: &Check, secrets: &Secrets) -> String {
    // Mask before quoting: the escaped text would no longer match the secret.
    let body = check.body.as_deref().map_or_else(String::new, |body| format!(" with {:?}", secrets.mask(body)));
    format!("{} {} is {}{body}", check.method, check.path, check.status)
}
