//! A single failing object does not hide the others.

use futures_util::StreamExt;

use super::*;
use lab_core::engine::RunState;

const LISTED: &str = r#"[
    {"Id":"g","Names":["/lab-fake-gateway-1"],"State":"running","Labels":{"lab.name":"fake","lab.service":"gateway"}},
    {"Id":"d","Names":["/lab-fake-db-1"],"State":"paused","Labels":{"lab.name":"fake","lab.service":"db"}}
]"#;
const GATEWAY_CONTAINER: &str = r#"{"Id":"g","Name":"/lab-fake-gateway-1","State":{"Running":true},
    "Config":{"Labels":{"lab.name":"fake","lab.service":"gateway"}},
    "NetworkSettings":{"Networks":{"lab-fake_default":{"IPAddress":"172.18.0.2"}}}}"#;
const STUCK: &str = r#"{"message":"it is stuck"}"#;

fn one_is_stuck(line: &str) -> Option<String> {
    match line {
        line if line.contains("/version") => json("200 OK", VERSION),
        line if line.contains("/containers/json") => json("200 OK", LISTED),
        line if line.contains("/containers/d/json") => json("500 Internal Server Error", STUCK),
        line if line.contains("/containers/g/json") => json("200 OK", GATEWAY_CONTAINER),
        line if line.contains("/containers/g/logs") => {
            let text = "2026-11-24T08:00:00Z hello\n";
            let mut frame = String::from_utf8(vec![1, 0, 0, 0, 0, 0, 0]).expect("it is ASCII");
            frame.push(char::from(u8::try_from(text.len()).expect("it is short")));
            json("200 OK", &format!("{frame}{text}"))
        }
        line if line.contains("/networks") || line.contains("/volumes") => json("500 Internal Server Error", STUCK),
        line if line.contains("/images/nginx") => json("500 Internal Server Error", STUCK),
        line if line.starts_with("GET /images/") => json("404 Not Found", r#"{"message":"No such image"}"#),
        line if line.starts_with("DELETE /containers") => json("204 No Content", ""),
        _ => json("200 OK", "[]"),
    }
}

#[tokio::test]
async fn a_container_that_cannot_be_inspected_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (host, _) = daemon(folder.path(), one_is_stuck);
    let engine = engine(&host);
    let now = engine.describe().await.unwrap();
    assert_eq!(now.service(GATEWAY).map(|gateway| gateway.state), Some(RunState::Running));
    let db = now.service("db").unwrap();
    assert_eq!(db.state, RunState::Paused, "the state in the listing");
    assert!(db.detail.as_ref().is_some_and(|detail| detail.contains("it is stuck")), "{db:?}");
    // A change must know all containers.
    let error = engine.reconcile(GATEWAY, &ServiceChange::run(RunState::Stopped)).await.unwrap_err();
    assert!(error.detail.contains("it is stuck"), "{error}");
}

#[tokio::test]
async fn its_log_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (host, _) = daemon(folder.path(), one_is_stuck);
    let lines: Vec<_> = engine(&host).logs(&LogRequest::default()).await.unwrap().collect().await;
    let texts = lines.iter().map(|line| line.as_ref().map_or_else(|error| error.detail.as_str(), |line| &line.text));
    let texts: Vec<&str> = texts.collect();
    assert!(texts.iter().any(|text| text.contains("it is stuck")) && texts.contains(&"hello"), "{texts:?}");
}

#[tokio::test]
async fn an_image_that_cannot_be_inspected_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (host, _) = daemon(folder.path(), one_is_stuck);
    let images = engine(&host).inventory().await.unwrap();
    let of = |service: &str| images.iter().find(|image| image.service == service).unwrap();
    assert!(of(GATEWAY).error.as_ref().is_some_and(|error| error.contains("it is stuck")), "{images:?}");
    assert!(!of(GATEWAY).is_missing() && of("db").is_missing(), "{images:?}");
}

#[tokio::test]
async fn down_removes_what_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let (host, asked) = daemon(folder.path(), one_is_stuck);
    let error = engine(&host).down().await.unwrap_err();
    assert!(error.detail.contains("it is stuck"), "{error}");
    let asked = asked.lock().unwrap();
    for container in ["/containers/g", "/containers/d"] {
        assert!(asked.iter().any(|line| line.starts_with("DELETE") && line.contains(container)), "{asked:?}");
    }
}
