//! Environment variables whose values are not shown.

use super::Roles;
use crate::event::{MASK, Secrets};

/// Words in the names of variables that hold secrets.
const WORDS: [&str; 7] = ["SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "CREDENTIAL", "PRIVATE"];
/// Endings of such names.
const ENDINGS: [&str; 3] = ["KEY", "_PASS", "_PWD"];
/// Values that are never secrets, regardless of the name of the variable.
const SWITCHES: [&str; 9] = ["", "on", "off", "true", "false", "yes", "no", "0", "1"];

/// Returns true if the variable's name is that of a secret. The key of the app and its previous key are not secrets: users
/// compare them to find a key mismatch, and `lab key show` prints them.
pub fn is_secret(roles: &Roles, name: &str) -> bool {
    let is_shown = name == roles.key_variable || name == previous_key_variable(roles);
    let name = name.to_ascii_uppercase();
    !is_shown && (WORDS.iter().any(|word| name.contains(word)) || ENDINGS.iter().any(|ending| name.ends_with(ending)))
}

/// Variable of the key that the app accepts besides its own, during a rotation without an outage.
pub fn previous_key_variable(roles: &Roles) -> String {
    format!("{}_PREVIOUS", roles.key_variable)
}

/// Value of a variable for display: masked if it is a secret. Passwords in URLs are masked too.
pub fn mask_value(roles: &Roles, name: &str, value: &str) -> String {
    if is_secret(roles, name) && !SWITCHES.contains(&value) {
        return MASK.to_owned();
    }
    Secrets::default().mask(value)
}

#[cfg(test)]
mod tests {
    use super::mask_value;
    use crate::engine::Roles;

    #[test]
    fn secrets_are_masked_by_name_and_passwords_in_urls() {
        let masked = |name: &str, value: &str| mask_value(&Roles::default(), name, value);
        for name in ["APP_CLIENT_SECRET", "POSTGRES_PASSWORD", "GITHUB_TOKEN", "SIGNING_KEY", "db_pass"] {
            assert_eq!(masked(name, "sesame"), "***", "{name}");
        }
        assert_eq!(masked("DATABASE_URL", "postgres://lab:sesame@db/x"), "postgres://lab:***@db/x");
        for (name, value) in [
            ("APP_API_KEY", "apikey-v1"),
            ("APP_API_KEY_PREVIOUS", "apikey-v0"),
            ("APP_API_KEY_SCOPES", "users:read"),
            ("GATEWAY_FORWARD_API_KEY", "off"),
            ("APP_CLIENT_SECRET", ""),
            ("APP_RATE_LIMIT", "5"),
        ] {
            assert_eq!(masked(name, value), value);
        }
    }
}
