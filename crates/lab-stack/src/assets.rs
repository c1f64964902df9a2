//! Files of the default stack from `stack/` and `grafana/`, embedded so that a lab needs no checkout of the sources.

/// One line per file. A test compares the list with the folders.
macro_rules! embedded {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../", $path)))),+]
    };
}

/// Path relative to the repository, and text.
pub const FILES: &[(&str, &str)] = embedded![
    "stack/compose.yaml",
    "stack/nginx/bin/gateway.sh",
    "stack/nginx/templates/api-key-off.conf.template",
    "stack/nginx/templates/api-key-on.conf.template",
    "stack/nginx/templates/nginx.conf.template",
    "stack/postgres/roles.sh",
    "stack/prometheus/prometheus.yml",
    "stack/prometheus/rules/alerts.yml",
    "stack/prometheus/rules/recording.yml",
    "stack/prometheus/tests/alerts.yml",
    "grafana/dashboards/auth-health.json",
    "grafana/provisioning/dashboards/lab.yaml",
    "grafana/provisioning/datasources/prometheus.yaml",
];
