//! Serialises file contents to JSON: plain text as text, anything else as base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    Text(String),
    Base64(String),
}

pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    // JSON needs six bytes for each other control character.
    let is_plain = |text: &&str| text.bytes().all(|byte| byte >= b' ' || b"\n\r\t".contains(&byte));
    let form = match std::str::from_utf8(bytes).ok().filter(is_plain) {
        Some(text) => Form::Text(text.to_owned()),
        None => Form::Base64(STANDARD.encode(bytes)),
    };
    form.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    match Form::deserialize(deserializer)? {
        Form::Text(text) => Ok(text.into_bytes()),
        Form::Base64(text) => STANDARD.decode(text).map_err(D::Error::custom),
    }
}
