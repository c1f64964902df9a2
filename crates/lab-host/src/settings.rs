//! Environment variables that a scenario may set on this engine. Services run as processes with the user's rights, so
//! `DATABASE_URL` and the listen addresses are reserved: with them a scenario could reach files and ports outside the lab.

use lab_core::engine::{APP, GATEWAY, Settings};

/// Settings of the app.
pub const APP_SETTINGS: [&str; 14] = [
    "APP_API_KEY",
    "APP_API_KEY_EXPIRES",
    "APP_API_KEY_PREVIOUS",
    "APP_API_KEY_PREVIOUS_EXPIRES",
    "APP_API_KEY_SCOPES",
    "APP_CLIENT_ID",
    "APP_CLIENT_SECRET",
    "APP_DB_POOL",
    "APP_DB_POOL_TIMEOUT",
    "APP_DEPENDENCY_DELAY",
    "APP_METRICS_PATH",
    "APP_RATE_BURST",
    "APP_RATE_LIMIT",
    "APP_REPORT_TIME",
];
/// Settings of the gateway.
pub const GATEWAY_SETTINGS: [&str; 8] = [
    "GATEWAY_CLIENT_ID",
    "GATEWAY_CLIENT_SECRET",
    "GATEWAY_CONNECT_TIMEOUT",
    "GATEWAY_FORWARD_API_KEY",
    "GATEWAY_HEADER_TIMEOUT",
    "GATEWAY_MAX_BODY",
    "GATEWAY_READ_TIMEOUT",
    "GATEWAY_UPSTREAM",
];

/// Returns the settings that a scenario may change on a service.
pub(super) fn allowed_settings(service: &str) -> Settings {
    let known: &[&str] = match service {
        APP => &APP_SETTINGS,
        GATEWAY => &GATEWAY_SETTINGS,
        _ => &[],
    };
    Settings::Only(known.iter().map(|name| (*name).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{APP_SETTINGS, GATEWAY_SETTINGS};

    /// Variables that a service reads, extracted from the source code of its configuration.
    fn variables_in(source: &str) -> BTreeSet<&str> {
        let code = source.split("#[cfg(test)]").next().unwrap();
        code.split("Variable { name: \"")
            .chain(code.split("    name: \""))
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') && !name.is_empty())
            .collect()
    }

    #[test]
    fn every_variable_of_a_service_is_either_allowed_or_reserved() {
        let services = [
            (
                include_str!("../../lab-demo/src/app/config.rs"),
                &APP_SETTINGS[..],
                &["APP_LISTEN", "APP_INSTANCE", "DATABASE_URL"][..],
            ),
            (
                include_str!("../../lab-demo/src/gateway/config.rs"),
                &GATEWAY_SETTINGS[..],
                &["GATEWAY_LISTEN", "GATEWAY_INSTANCE", "GATEWAY_METRICS_LISTEN", "GATEWAY_REUSE_PORT"][..],
            ),
        ];
        for (source, settings, own) in services {
            let expected: BTreeSet<&str> = settings.iter().chain(own).copied().collect();
            assert_eq!(variables_in(source), expected);
        }
    }
}
