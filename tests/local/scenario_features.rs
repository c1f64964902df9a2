//! Features of scenario files on real services: callers, waits, background traffic, steady state, secrets, and commands.

use rustix::process::Signal;

use crate::desk::Desk;
use crate::support::until;

const ALL_FEATURES: &str = r#"
title: All features
description: All features of scenario files in one file.
tags: [test]
parameters:
  token: { default: hush-hush-hush, secret: true }
callers:
  web: { rate: 150 }
  batch: { rate: 50 }
steady_state:
  - { name: health, check: { path: /health } }
  - { name: ok, traffic: { requests: 4 }, expect: { status.200: "100%" } }
steps:
  - { name: users, background: { callers: [web], rate: 50 } }
  - { name: normal, traffic: { requests: 20 }, expect: { caller.web.sent: 15, caller.batch.status.200: 5 } }
  - { name: env, phase: baseline, set_env: { service: app, env: { APP_API_KEY_PREVIOUS: "${token}" } } }
  - { name: rotate, rotate_key: { server: apikey-v2 } }
  - { name: alarm, wait_for: { metrics: { auth_failures.delta: "> 5" }, timeout: 10s, every: 100ms } }
  - { name: observe, traffic: { requests: "${steps.normal.sent}" }, expect: { status.401: "100%", background.users.failed: "> 0" } }
  - name: fix
    phase: remedy
    run:
      command: [sh, -c, "echo $TOKEN; \"$LAB\" key align; curl -s $LAB_GATEWAY_URL/health > /dev/null || true"]
      env: { TOKEN: "${token}", LAB: "${lab}" }
  - { name: recovered, wait_for: { path: /api/users, timeout: 10s, every: 100ms } }
  - { name: stop-users, stop_background: users }
  - { name: verify, traffic: { requests: 20 }, expect: { status.200: "100%", requests.delta: 20 } }
finally:
  - { name: clean-up, wait: 10ms }
"#;

fn write_scenario(desk: &Desk) -> String {
    let lab = env!("CARGO_BIN_EXE_lab");
    let text = ALL_FEATURES.replace("  token:", &format!("  lab: {{ default: {lab} }}\n  token:"));
    desk.write("features.yaml", &text)
}

#[test]
fn all_features_work_together_and_leave_nothing() {
    let desk = Desk::new();
    let file = write_scenario(&desk);
    desk.lab(&["scenario", "validate", &file]).status(0);
    desk.lab(&["scenario", "run", &file]).status(2).complains("`fix`").complains("--allow-commands");
    desk.assert_clean();
    let result = desk.lab(&["scenario", "run", &file, "--allow-commands"]).status(0);
    let result =
        result.says("before/health").says("· web").says("~ users").says("after/ok").says("clean-up").says("passed");
    assert!(result.stdout.lines().all(|row| row.chars().count() <= 80), "{}", result.stdout);
    desk.assert_clean();
    let journals = desk.lab(&["runs", "list", "--json"]).json();
    let text = journals.to_string();
    assert!(!text.contains("hush") && text.contains("APP_API_KEY_PREVIOUS=***"), "{text}");
    assert_eq!(journals[0]["steps"][3]["callers"]["web"]["sent"], 15);
    assert_eq!(journals[0]["steps"][0]["role"], "before");
    let state = std::fs::read_dir(desk.state().join("runs")).expect("runs").flatten();
    for folder in state {
        let events = std::fs::read_to_string(folder.path().join("events.ndjson")).expect("events");
        assert!(!events.contains("hush"), "{events}");
    }
}

#[test]
fn callers_keep_their_keys_with_a_kept_fault() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let file = desk.write(
        "stale.yaml",
        "title: Stale\ncallers: { web: { rate: 100 }, batch: { rate: 100 } }\nsteps:\n  \
         - rotate_key: { server: apikey-v2 }\n  - align_key: { caller: server, callers: [web] }\n  \
         - { name: observe, phase: observe, traffic: { requests: 10 } }\n  - align_key: { caller: server }\n",
    );
    desk.lab(&["scenario", "run", &file, "--until", "observe"]).status(0).says("caller batch on apikey-v1");
    desk.lab(&["status"]).status(0).says("caller web apikey-v2 · matches").says("caller batch apikey-v1 · differs");
    desk.lab(&["key", "align", "--caller", "nobody"]).status(2).complains("this lab has batch, web");
    desk.lab(&["key", "align", "--caller", "batch"]).status(0).says("caller batch apikey-v1 > apikey-v2");
    desk.lab(&["recover"]).status(0).says("caller batch key removed").says("is restored");
    let status = desk.lab(&["status"]).status(0);
    assert!(!status.stdout.contains("batch"), "{}", status.stdout);
}

#[test]
fn a_scenario_for_one_engine_is_refused_on_another() {
    let desk = Desk::new();
    let text = |engines: &str| format!("title: T\nkind: part\nengines: [{engines}]\nsteps:\n  - wait: 10ms\n");
    let docker = desk.write("docker.yaml", &text("docker"));
    let both = desk.write("both.yaml", &text("embedded"));
    desk.lab(&["scenario", "run", &docker, "--engine", "embedded"]).status(2).complains("it supports docker");
    desk.lab(&["scenario", "run", &both]).status(0);
    desk.lab(&["up", "--port", "0", "--engine", "embedded"]).status(0);
    desk.lab(&["scenario", "run", &docker]).status(2).complains("cannot run on the embedded engine");
    let query = desk.write(
        "query.yaml",
        "title: T\nkind: part\nsteps:\n  - { name: ask, wait_for: { query: up } }\n  - stop: gateway\n",
    );
    desk.lab(&["scenario", "run", &query]).status(2).complains("step `ask`").complains("no Prometheus");
}

#[test]
fn ctrl_c_ends_a_command_with_its_children_and_reverts() {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let mark = format!("44{}", std::process::id());
    let file = desk.write(
        "long.yaml",
        &format!(
            "title: Long\nkind: part\nsteps:\n  - rotate_key: {{ server: apikey-v9 }}\n  \
             - run: {{ command: [sh, -c, \"sleep {mark} & sleep {mark}\"], timeout: 60m }}\nfinally:\n  \
             - {{ name: clean-up, wait: 10ms }}\n"
        ),
    );
    let child = desk.start(&["scenario", "run", &file, "--allow-commands"]);
    until(|| processes(&mark) == 3);
    child.signal(Signal::INT);
    let result = child.wait().status(130).says("clean-up").says("restored");
    assert!(result.stdout.contains("interrupted"), "{}", result.stdout);
    until(|| processes(&mark) == 0);
}

/// Number of processes whose command line contains a text.
fn processes(mark: &str) -> usize {
    let all = std::fs::read_dir("/proc").expect("/proc exists on Linux").flatten();
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
}
