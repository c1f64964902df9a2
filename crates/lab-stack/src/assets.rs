//! The files of the stack that come with lab, as they stand in `stack/` and `grafana/`: embedded, so that a lab needs no
//! checkout of the sources.

/// One row a file; a test compares it with the folders.
macro_rules! embedded {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../", $path)))),+]
    };
}

/// Each file's path from the top of the repository, and its text.
pub const FILES: &[(&str, &str)] = embedded![
    "stack/compose.yaml",
    "stack/nginx/bin/gateway.sh",
    "stack/nginx/templates/api-key-off.conf.template",
    "stack/nginx/templates/api-key-on.conf.template",
    "stack/nginx/templates/nginx.conf.template",
    "stack/prometheus/prometheus.yml",
    "stack/prometheus/rules/alerts.yml",
    "stack/prometheus/rules/recording.yml",
    "stack/prometheus/tests/alerts.yml",
    "grafana/dashboards/auth-health.json",
    "grafana/provisioning/dashboards/lab.yaml",
    "grafana/provisioning/datasources/prometheus.yaml",
];
