//! Environment variables that a scenario, or a user with `lab env set`, may set. Scenario files may come from strangers,
//! so their values must stay inside the lab: a change never affects how a program is loaded or run, and every address in
//! a value must be a service of the lab.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{APP, ServiceChange, ServiceSpec};

/// Variables of a service that may be set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Settings {
    /// Any variable that is not reserved: the service is a container running an unknown program.
    #[default]
    Open,
    /// Only these: the service is a process on this machine.
    Only(Vec<String>),
}

/// Variables that may not be set on any engine, with what they control. A name that ends in `*` is a prefix.
const RESERVED: [(&[&str], &str); 5] = [
    (
        &[
            "LD_*",
            "DYLD_*",
            "GLIBC_*",
            "LIBC_*",
            "MALLOC_*",
            "GCONV_PATH",
            "GETCONF_DIR",
            "LOCPATH",
            "NLSPATH",
            "TZDIR",
            "NIS_PATH",
        ],
        "how programs are loaded",
    ),
    (
        &[
            "RUST_*",
            "CARGO_*",
            "TOKIO_*",
            "GODEBUG",
            "GOTRACEBACK",
            "GOGC",
            "GOMEMLIMIT",
            "GOMAXPROCS",
            "GOROOT",
            "GOPATH",
            "GOFLAGS",
            "GOCOVERDIR",
            "PYTHON*",
            "NODE_OPTIONS",
            "NODE_PATH",
            "NODE_EXTRA_CA_CERTS",
            "NODE_TLS_*",
            "NODE_V8_COVERAGE",
            "NODE_REPL_*",
            "NPM_*",
            "JAVA_*",
            "JDK_*",
            "_JAVA_*",
            "JVM_*",
            "CATALINA_*",
            "PERL5*",
            "PERLLIB",
            "RUBYOPT",
            "RUBYLIB",
            "RUBY_*",
            "GEM_*",
            "BUNDLE_*",
            "PHPRC",
            "PHP_INI_*",
            "DOTNET_*",
            "CORECLR_*",
            "COMPLUS_*",
            "MONO_*",
            "ERL_*",
            "ELIXIR_*",
            "LUA_*",
            "ASAN_*",
            "UBSAN_*",
            "TSAN_*",
            "LSAN_*",
            "MSAN_*",
        ],
        "how a language's runtime behaves",
    ),
    (
        &[
            "PATH",
            "HOME",
            "SHELL",
            "USER",
            "LOGNAME",
            "PWD",
            "IFS",
            "ENV",
            "PS4",
            "CDPATH",
            "BASH*",
            "SHELLOPTS",
            "ZDOTDIR",
            "PROMPT_COMMAND",
            "EDITOR",
            "VISUAL",
            "PAGER",
            "TMPDIR",
            "TMP",
            "TEMP",
            "XDG_*",
            "GIT_*",
            "SSH_*",
            "GPG_*",
            "DOCKER_*",
            "CONTAINER_*",
            "KUBECONFIG",
            "LAB_*",
            "NOTIFY_SOCKET",
            "LISTEN_FDS",
            "LISTEN_PID",
        ],
        "which programs and files are used",
    ),
    (
        &[
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "FTP_PROXY",
            "ALL_PROXY",
            "NO_PROXY",
            "GRPC_PROXY",
            "SOCKS_*",
            "SSL_*",
            "SSLKEYLOGFILE",
            "OPENSSL_*",
            "CURL_*",
            "REQUESTS_CA_BUNDLE",
            "HOSTALIASES",
            "LOCALDOMAIN",
            "RES_OPTIONS",
            "RESOLV_*",
            "PGHOST*",
            "PGSERVICE*",
            "PGSYSCONFDIR",
            "PGPASSFILE",
            "PGSSL*",
            "PGOPTIONS",
            "PGREQUIRESSL",
            "MYSQL_HOME",
            "AWS_*",
            "GOOGLE_*",
            "AZURE_*",
            "OTEL_*",
        ],
        "where connections go, and who is trusted there",
    ),
    (&["NGINX_*", "GF_*"], "what an image does at its start"),
];

/// What a reserved variable controls. `None` if it may be set.
pub fn reserved(name: &str) -> Option<&'static str> {
    // Some programs read these names in lower case too.
    let name = name.to_ascii_uppercase();
    let is = |pattern: &&str| pattern.strip_suffix('*').map_or(name == **pattern, |prefix| name.starts_with(prefix));
    RESERVED.iter().find(|(patterns, _)| patterns.iter().any(&is)).map(|(_, decides)| *decides)
}

/// Reason why a variable may not be set.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("cannot be set: it decides {0}")]
    Reserved(&'static str),
    #[error("cannot be set on this engine; these can be: {0}")]
    Unknown(String),
    #[error("has to lead to the lab's own app: `{APP}:PORT`")]
    OtherUpstream,
    #[error("may hold only letters, digits and `._~+/=:-`")]
    SpecialCharacters,
    #[error("leads out of the lab, to `{host}`: an address in it has to be one of the lab's services ({services})")]
    Foreign { host: String, services: String },
}

/// Explains, one sentence per variable, why this change may not be made. If a step gets its values only during
/// the run, `values_known` is false before the run and only the names are checked.
pub fn refusals(
    spec: &ServiceSpec,
    change: &ServiceChange,
    services: &[ServiceSpec],
    values_known: bool,
) -> Vec<String> {
    let refusal = |(name, value): (&String, &Option<String>)| {
        let checked = check_name(spec, name).and_then(|()| match value {
            Some(value) if values_known => check_value(spec, name, value, services),
            _ => Ok(()),
        });
        checked.err().map(|why| format!("`{name}` of `{}` {why}", spec.name))
    };
    change.env.iter().filter_map(refusal).collect()
}

fn check_name(spec: &ServiceSpec, name: &str) -> Result<(), Refusal> {
    if let Some(decides) = reserved(name) {
        return Err(Refusal::Reserved(decides));
    }
    match &spec.settings {
        Settings::Only(known) if !known.iter().any(|known| known == name) => Err(Refusal::Unknown(known.join(", "))),
        _ => Ok(()),
    }
}

fn check_value(spec: &ServiceSpec, name: &str, value: &str, services: &[ServiceSpec]) -> Result<(), Refusal> {
    if matches!(spec.settings, Settings::Only(_)) {
        // The gateway only knows the app; any other name would be resolved on this machine's network.
        if name == "GATEWAY_UPSTREAM" && !is_port_of(APP, value) {
            return Err(Refusal::OtherUpstream);
        }
        // The other variables contain no addresses.
        return Ok(());
    }
    // These values end up in the gateway's configuration, where other characters have a meaning.
    let plain = |c: char| c.is_ascii_alphanumeric() || "._~+/=:-".contains(c);
    if name.starts_with("GATEWAY_") && !value.chars().all(plain) {
        return Err(Refusal::SpecialCharacters);
    }
    match foreign_host(name, value, services) {
        Some(host) => {
            let names: Vec<&str> = services.iter().map(|spec| spec.name.as_str()).collect();
            Err(Refusal::Foreign { host, services: names.join(", ") })
        }
        None => Ok(()),
    }
}

fn is_port_of(host: &str, value: &str) -> bool {
    value.strip_prefix(host).and_then(|rest| rest.strip_prefix(':')).is_some_and(is_port)
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Suffixes of variables whose value is an address even if it does not look like one.
const ADDRESSES: [&str; 14] = [
    "HOST",
    "HOSTS",
    "HOSTNAME",
    "SERVER",
    "SERVERS",
    "ADDR",
    "ADDRESS",
    "ENDPOINT",
    "ENDPOINTS",
    "URL",
    "URI",
    "DSN",
    "UPSTREAM",
    "BROKERS",
];

/// Returns a host in the value that is outside the lab.
fn foreign_host(name: &str, value: &str, services: &[ServiceSpec]) -> Option<String> {
    let foreign = |host: &str| (!is_own(host, services)).then(|| host.chars().take(80).collect::<String>());
    // URLs, anywhere in the value. A host list is one authority: `mongodb://a:1,b:2/x`.
    for rest in value.split("://").skip(1) {
        let authority =
            rest.split(|c: char| c.is_whitespace() || "/?#\\\"'`<>()".contains(c)).next().unwrap_or_default();
        let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
        // A URL without a host is a file or a socket: `sqlite:///data/users.db`.
        if let Some(found) =
            hosts.split(',').filter(|host| !host.is_empty()).find_map(|host| foreign(without_port(host)))
        {
            return Some(found);
        }
    }
    // Clients also accept URLs without slashes: `http:example.com`, `http:\\example.com`.
    if let Some(found) = reqwest::Url::parse(value).ok().and_then(|url| foreign(url.host_str()?)) {
        return Some(found);
    }
    let names_address = ADDRESSES.iter().any(|ending| {
        let name = name.to_ascii_uppercase();
        name.strip_suffix(ending).is_some_and(|before| before.is_empty() || before.ends_with('_'))
    });
    let words =
        || value.split(|c: char| c.is_whitespace() || ",;|\"'`<>()?&".contains(c)).filter(|word| !word.is_empty());
    for word in words() {
        let (key, word) = word.split_once('=').map_or(("", word), |(key, word)| (key, word));
        let key = key.to_ascii_lowercase();
        let host = word.rsplit_once('@').map_or(word, |(_, host)| host);
        let address = without_port(host);
        let looks_so = address.parse::<IpAddr>().is_ok() || (address != host && !address.contains('/'));
        // URLs were checked above, except for hosts named in their query.
        let is_named = (names_address && key.is_empty() && !value.contains("://"))
            || ["host", "server", "addr"].iter().any(|word| key.contains(word));
        let address = address.split('/').next().map_or(address, without_port);
        let can_be = !address.contains(':') && !address.bytes().all(|byte| byte.is_ascii_digit());
        if (looks_so || (is_named && can_be))
            && let Some(found) = foreign(address)
        {
            return Some(found);
        }
    }
    None
}

/// Strips the port of `host:port` or `[host]:port`. Other texts are returned unchanged.
fn without_port(text: &str) -> &str {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
    {
        return host;
    }
    match text.rsplit_once(':') {
        Some((host, port)) if is_port(port) && !host.is_empty() => host,
        _ => text,
    }
}

/// Returns whether the host is a service of the lab or the container itself.
fn is_own(host: &str, services: &[ServiceSpec]) -> bool {
    const ITSELF: [&str; 5] = ["localhost", "127.0.0.1", "::1", "0.0.0.0", "::"];
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    ITSELF.contains(&host.as_str()) || services.iter().any(|spec| spec.name == host)
}

#[cfg(test)]
mod tests;
