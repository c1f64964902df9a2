//! A small stack of the real images, and a lab of it that leaves nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lab::engine::docker::{Docker, DockerOptions};
use lab::engine::{APP, DB, Engine, GATEWAY, KEY_VARIABLE, ProgressFn};
use lab::http::{Http, Request};
use lab::stack::{
    Bind, Condition, HealthCheck, Mount, Optional, Port, Service, Stack, VolumeMount, XLab, XLabApp, XLabGateway,
};

/// For what takes a moment on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const GATEWAY_IMAGE: &str = "nginx:1.30";
pub(crate) const DB_IMAGE: &str = "postgres:17";

const NGINX: &str = r#"
worker_processes 2;
error_log stderr error;
pid /tmp/nginx.pid;
events { worker_connections 1024; }
http {
  client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
  access_log /dev/stdout;
  upstream app { server app:8000 max_fails=0; keepalive 32; }
  server {
    listen 8080;
    location / {
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_connect_timeout 1s; proxy_read_timeout 2s; proxy_next_upstream off;
    }
  }
}
"#;

/// Gateway, app and database, by the same images as the stack that comes with lab.
pub(crate) fn stack() -> Stack {
    let service =
        |name: &str, image: &str| Service { name: name.to_owned(), image: image.to_owned(), ..Service::default() };
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let check = |words: &[&str]| HealthCheck {
        test: strings(words),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        retries: 30,
        start_period: Duration::ZERO,
    };
    let gateway = Service {
        entrypoint: Some(strings(&["nginx"])),
        command: Some(strings(&["-e", "stderr", "-c", "/etc/lab/nginx.conf", "-g", "daemon off;"])),
        ports: vec![Port { published: Some(8080), target: 8080 }],
        mounts: vec![Mount::Bind(Bind {
            source: "nginx".into(),
            target: "/etc/lab".to_owned(),
            files: vec![("nginx.conf".into(), NGINX.as_bytes().to_vec())],
        })],
        depends_on: BTreeMap::from([(APP.to_owned(), Condition::Started)]),
        tmpfs: strings(&["/tmp:mode=1777,size=16m"]),
        user: Some("101:101".to_owned()),
        read_only: true,
        cap_drop: strings(&["ALL"]),
        stop_signal: Some("SIGQUIT".to_owned()),
        ..service(GATEWAY, GATEWAY_IMAGE)
    };
    let app = Service {
        environment: [
            ("APP_LISTEN", "0.0.0.0:8000"),
            (KEY_VARIABLE, "apikey-v1"),
            ("DATABASE_URL", "postgres://lab:lab@db:5432/lab"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        depends_on: BTreeMap::from([(DB.to_owned(), Condition::Healthy)]),
        read_only: true,
        cap_drop: strings(&["ALL"]),
        ..service(APP, "lab-app:local")
    };
    let db = Service {
        command: Some(strings(&["postgres", "-c", "fsync=off"])),
        environment: [
            ("POSTGRES_USER", "lab"),
            ("POSTGRES_PASSWORD", "lab"),
            ("POSTGRES_DB", "lab"),
            ("POSTGRES_INITDB_ARGS", "--no-sync --locale=C"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        mounts: vec![Mount::Volume(VolumeMount {
            volume: "db-data".to_owned(),
            target: "/var/lib/postgresql/data".to_owned(),
            read_only: false,
        })],
        tmpfs: strings(&["/tmp:mode=1777,size=16m", "/run/postgresql:mode=1777,size=1m"]),
        user: Some("postgres".to_owned()),
        stop_signal: Some("SIGINT".to_owned()),
        health: Some(check(&["pg_isready", "-q", "-h", "127.0.0.1", "-U", "lab", "-d", "lab"])),
        ..service(DB, DB_IMAGE)
    };
    let lab = XLab {
        app: XLabApp {
            service: APP.to_owned(),
            key_variable: KEY_VARIABLE.to_owned(),
            port: 8000,
            metrics_path: "/metrics".to_owned(),
            health_path: "/health".to_owned(),
        },
        gateway: XLabGateway {
            service: GATEWAY.to_owned(),
            port: 8080,
            reload: strings(&["nginx", "-e", "stderr", "-c", "/etc/lab/nginx.conf", "-s", "reload"]),
        },
        optional: Vec::<Optional>::new(),
        prometheus: None,
        grafana: None,
        database: Some(DB.to_owned()),
    };
    Stack { services: vec![gateway, app, db], volumes: vec!["db-data".to_owned()], lab }
}

/// The executable under test, without its symbols: a tenth of the size.
pub(crate) fn executable() -> PathBuf {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    let strip = || {
        let original = PathBuf::from(env!("CARGO_BIN_EXE_lab"));
        let stripped = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lab-stripped");
        let status = std::process::Command::new("strip").arg("-o").arg(&stripped).arg(&original).status();
        if status.is_ok_and(|status| status.success()) { stripped } else { original }
    };
    STRIPPED.get_or_init(strip).clone()
}

pub(crate) fn options() -> DockerOptions {
    DockerOptions { executable: Some(executable()), ..DockerOptions::from_env() }
}

/// A lab under a name of its own. After each test it is taken down, and nothing of it may be left.
pub(crate) struct Bench {
    pub(crate) name: String,
    pub(crate) engine: Docker,
}

impl Bench {
    pub(crate) fn new(test: &str) -> Self {
        Self::with(test, stack(), options())
    }

    pub(crate) fn with(test: &str, stack: Stack, options: DockerOptions) -> Self {
        let name = format!("t-{test}-{:04x}", std::process::id() & 0xffff);
        Self { engine: Docker::new(&name, stack, options), name }
    }

    /// The same lab, as another process would see it.
    pub(crate) fn again(&self) -> Docker {
        Docker::new(&self.name, stack(), options())
    }

    pub(crate) async fn finish(self) {
        self.engine.down().await.unwrap_or_else(|error| panic!("down: {error}"));
        assert_eq!(self.leftovers(), "", "nothing is left");
    }

    /// What the daemon still has of the lab, by another way than the engine's.
    pub(crate) fn leftovers(&self) -> String {
        let filter = format!("label=lab.name={}", self.name);
        let project = format!("label=com.docker.compose.project=lab-{}", self.name);
        let mut left = String::new();
        for filter in [filter, project] {
            for kind in [&["ps", "-aq"][..], &["network", "ls", "-q"], &["volume", "ls", "-q"]] {
                left += &docker(&[kind, &["--filter", &filter]].concat());
            }
        }
        left
    }
}

/// The docker command's own view.
pub(crate) fn docker(args: &[&str]) -> String {
    let output = std::process::Command::new("docker").args(args).output().expect("the docker command is there");
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A request with a key; the status, or 0 where there was no answer.
pub(crate) async fn status(base: &str, path: &str, key: &str) -> u16 {
    let request = Request::get(format!("{base}{path}")).header("x-api-key", key).timeout(Duration::from_secs(5));
    Http::new().request(&request).await.map_or(0, |response| response.status)
}

/// Takes what happens during `up`.
#[derive(Clone, Default)]
pub(crate) struct Stages(Arc<Mutex<Vec<String>>>);

impl Stages {
    pub(crate) fn sink(&self) -> ProgressFn {
        let stages = self.0.clone();
        Arc::new(move |progress| {
            let line = format!("{} {}", progress.service, progress.stage);
            stages.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        })
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
