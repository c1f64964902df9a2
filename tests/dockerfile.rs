//! The top-level Dockerfile: its text is always checked; it is built and run with `LAB_TEST_DOCKERFILE=1`. A separate test binary,
//! because the build uses all cores for minutes, which would disturb the tests of `tests/docker/`. Without a registry,
//! `stack/offline/build.sh rust` creates a stand-in for the base image.

use std::fs::read_to_string;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

/// Number of lines to show of a failed build.
const LAST_LINES: usize = 40;
/// Time limit for a container to become healthy.
const TIMEOUT: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let enabled = std::env::var("LAB_TEST_DOCKERFILE").is_ok_and(|value| value == "1");
    let trial = Trial::test("the_dockerfile_builds_a_healthy_app", build_and_run).with_ignored_flag(!enabled);
    let text = Trial::test("the_dockerfile_matches_the_project", check_text);
    libtest_mimic::run(&arguments, vec![text, trial]).exit_code()
}

/// Checks that its files and profiles exist, that its Rust is recent enough, and that it removes only test dependencies from the
/// manifest.
fn check_text() -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (dockerfile, manifest) = (read_to_string(root.join("Dockerfile"))?, read_to_string(root.join("Cargo.toml"))?);
    let after = |start: &str| {
        let lines = dockerfile.lines().filter_map(|line| line.strip_prefix(start));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let copied = after("COPY ").into_iter().filter(|line| !line.starts_with("--"));
    for source in copied.flat_map(|line| line.split(' ').rev().skip(1).map(str::to_owned).collect::<Vec<_>>()) {
        if !root.join(&source).exists() {
            return Err(format!("COPY names {source}, which does not exist").into());
        }
    }
    for profile in [&after("ARG PROFILE=")[..], &["dev".to_owned()]].concat() {
        if !manifest.contains(&format!("[profile.{profile}]")) {
            return Err(format!("Cargo.toml has no profile {profile}").into());
        }
    }
    let version = |text: &str| text.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    let images = after("ARG RUST_IMAGE=rust:");
    let image = images.first().and_then(|image| image.split('-').next()).ok_or("RUST_IMAGE is not an image of rust")?;
    let needed = env!("CARGO_PKG_RUST_VERSION");
    if version(image) < version(needed) {
        return Err(format!("its Rust is {image}, and Cargo.toml needs {needed}").into());
    }
    // The first build compiles the dependencies of the workspace, without those of tests.
    let (_, rest) =
        manifest.split_once("\n[workspace.dependencies]\n").ok_or("Cargo.toml has no [workspace.dependencies]")?;
    let (used, _) =
        rest.split_once("\n# Test dependencies").ok_or("Cargo.toml does not mark the dependencies of tests")?;
    match used.lines().find(|line| line.starts_with('[')) {
        Some(table) => Err(format!("{table} is between the dependencies and those of tests").into()),
        None => Ok(()),
    }
}

fn build_and_run() -> Result<(), Failed> {
    let image = format!("lab-test-dockerfile:{}", std::process::id());
    let args = ["build", "--force-rm", "--build-arg", "PROFILE=dev", "--tag", &image, env!("CARGO_MANIFEST_DIR")];
    let build = Command::new("docker").args(args).output()?;
    if !build.status.success() {
        let said = String::from_utf8_lossy(&build.stdout) + String::from_utf8_lossy(&build.stderr);
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        return Err(format!("docker build failed (without a registry: stack/offline/build.sh rust):\n{last}").into());
    }
    let container = format!("lab-test-dockerfile-{}", std::process::id());
    let result = check_container(&image, &container);
    let _ = docker(&["rm", "--force", &container]);
    let _ = docker(&["rmi", &image]);
    result
}

/// Checks that the image has one layer, runs as an unprivileged user on a read-only root, becomes healthy, and serves requests.
fn check_container(image: &str, container: &str) -> Result<(), Failed> {
    let layers = docker(&["image", "inspect", "--format", "{{len .RootFS.Layers}} {{.Config.User}}", image])?;
    if layers != "1 65532:65532" {
        return Err(format!("layers and user are {layers}").into());
    }
    let place = ["--name", container, "--read-only", "--cap-drop=ALL", "--tmpfs=/data:uid=65532,mode=700"];
    let env = ["--env=APP_API_KEY=apikey-v1", "--env=DATABASE_URL=sqlite:/data/users.db", "--publish=127.0.0.1::8000"];
    docker(&[&["run", "--detach"][..], &place, &env, &[image]].concat())?;
    let begun = Instant::now();
    while docker(&["inspect", "--format", "{{.State.Health.Status}}", container])? != "healthy" {
        if begun.elapsed() > TIMEOUT {
            return Err(format!("it does not become healthy: {}", docker(&["logs", container])?).into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let address = docker(&["port", container, "8000/tcp"])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (key, expected) in [("apikey-v1", 200), ("apikey-v2", 401)] {
        let request = lab_http::Request::get(format!("http://{address}/api/users")).header("x-api-key", key);
        let answer = runtime.block_on(lab_http::Http::new().request(&request)).map_err(|error| error.to_string())?;
        if answer.status != expected {
            return Err(format!("{key} gets {}: {}", answer.status, answer.text()).into());
        }
    }
    Ok(())
}

fn docker(args: &[&str]) -> Result<String, Failed> {
    let output = Command::new("docker").args(args).output()?;
    if !output.status.success() {
        return Err(format!("docker {args:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
