//! Blindness on Docker: neither lab nor the daemon, Prometheus or Grafana gives the incident of a drill away. The tests without a
//! daemon search everything that lab shows, for every incident.

use lab_http::{Http, Request};
use libtest_mimic::Trial;

use crate::cli::Cli;
use crate::spoilers::{Spoilers, plan_of_drill};
use crate::support::docker;

/// Incidents of the gateway and of the app, with neutral names for their labs.
const INCIDENTS: [(&str, &str); 2] = [("one", "wrong-upstream"), ("two", "expired-key")];

/// Commands whose output differs from that of the embedded engine.
const READS: &[&[&str]] = &[
    &["status"],
    &["status", "--json"],
    &["status", "--all"],
    &["logs"],
    &["env", "app", "--reveal"],
    &["env", "gateway", "--reveal"],
    &["history", "--json", "--reveal"],
    &["drill", "status", "--json"],
    &["images", "list"],
    &["query", "up"],
    &["metrics"],
];

/// Pages of Prometheus, if it runs: names and values of labels, series, targets and alerts.
const PROMETHEUS: &[&str] = &[
    "/api/v1/labels",
    "/api/v1/label/__name__/values",
    "/api/v1/label/job/values",
    "/api/v1/label/instance/values",
    "/api/v1/series?match%5B%5D=%7Bjob%3D~%22.%2B%22%7D",
    "/api/v1/targets",
    "/api/v1/rules",
    "/api/v1/alerts",
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![Trial::test("nothing_on_docker_gives_the_incident_away", || {
        std::thread::scope(|scope| {
            for (name, incident) in INCIDENTS {
                scope.spawn(move || is_blind(name, incident));
            }
        });
        Ok(())
    })]
}

fn is_blind(name: &str, incident: &str) {
    let user = Cli::new(&format!("blind-{name}"));
    user.lab(&["up"]).status(0);
    user.lab(&["drill", "start", "--from", incident, "--seed", "1", "--quiet", "1s"]).status(0);
    let plan = plan_of_drill(&user.state(), incident);
    let spoilers = Spoilers::new(&plan);
    for args in READS {
        let ran = user.lab(args);
        spoilers.are_not_in(&format!("lab {}", args.join(" ")), &format!("{}\n{}", ran.stdout, ran.stderr));
    }
    let filter = format!("label=com.docker.compose.project=lab-{}", user.name);
    let objects = [
        (&["ps", "-aq"][..], &["inspect"][..]),
        (&["network", "ls", "-q"], &["network", "inspect"]),
        (&["volume", "ls", "-q"], &["volume", "inspect"]),
    ];
    for (list, inspect) in objects {
        let found = docker(&[list, &["--filter", &filter]].concat());
        assert_ne!(found, "", "docker {}", list.join(" "));
        for id in found.lines() {
            spoilers.are_not_in(&format!("docker {} {id}", inspect.join(" ")), &docker(&[inspect, &[id]].concat()));
        }
    }
    let status = user.lab(&["status", "--json"]).status(0).json();
    for (server, paths) in [("prometheus", PROMETHEUS), ("grafana", &["/api/annotations", "/api/search"])] {
        // Optional services do not run if their image is missing.
        let Some(base) = status[server].as_str() else { continue };
        for path in paths {
            spoilers.are_not_in(&format!("{server} {path}"), &get(&format!("{}{path}", base.trim_end_matches('/'))));
        }
    }
    user.lab(&["drill", "give-up"]).status(0);
    // The texts are the right ones: the debrief has them.
    user.lab(&["drill", "show"]).status(0).says(&plan.title);
    user.finish();
}

fn get(url: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let answer = Http::new().request(&Request::get(url).timeout(std::time::Duration::from_secs(5))).await;
        answer.unwrap_or_else(|error| panic!("{url}: {error:?}")).text()
    })
}
