//! Posts annotations to the lab's Grafana from a separate thread, so that a run never waits for it, except briefly at its end.
//! A Grafana that is still starting rejects annotations, so they are retried. If they never arrive, nothing is lost: the
//! journal has everything.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_util::sync::CancellationToken;

use lab_http::{Http, Request};
use lab_report::report::annotations::Annotation;

/// Capacity of the queue and of the retry list; more annotations are dropped.
const QUEUE: usize = 256;
/// Time for one request.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time for the remaining annotations at the end.
const LAST: Duration = Duration::from_secs(1);
/// Delay before a retry.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Grafana's initial user.
const USER: &str = "admin";

pub(super) struct Poster {
    queue: Option<SyncSender<Annotation>>,
    done: Receiver<()>,
    give_up: CancellationToken,
}

impl Poster {
    /// Starts posting to the Grafana at this base URL with its admin's password. `None` if the thread cannot be started.
    pub(super) fn start(base: &str, password: &str) -> Option<Self> {
        let (queue, waiting) = sync_channel::<Annotation>(QUEUE);
        let (end, done) = sync_channel(1);
        let give_up = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let url = format!("{}/api/annotations", base.trim_end_matches('/'));
        let credentials = format!("Basic {}", STANDARD.encode(format!("{USER}:{password}")));
        let stop = give_up.clone();
        let work = move || {
            Worker { runtime, http: Http::new(), url, credentials, stop }.run(&waiting);
            let _ = end.send(());
        };
        std::thread::Builder::new().name("annotations".to_owned()).spawn(work).ok()?;
        Some(Self { queue: Some(queue), done, give_up })
    }

    /// Returns a function that queues annotations without blocking.
    pub(super) fn sender(&self) -> impl FnMut(Annotation) + Send + use<> {
        let queue = self.queue.clone();
        move |annotation| {
            if let Some(queue) = &queue {
                let _ = queue.try_send(annotation);
            }
        }
    }

    /// Waits briefly for the remaining annotations. The functions from [`Poster::sender`] must be dropped before.
    pub(super) fn finish(mut self) {
        self.queue = None;
        let _ = self.done.recv_timeout(LAST);
        self.give_up.cancel();
    }
}

/// Worker that posts the annotations.
struct Worker {
    runtime: tokio::runtime::Runtime,
    http: Http,
    url: String,
    credentials: String,
    stop: CancellationToken,
}

enum Attempt {
    /// Accepted, or rejected for good.
    Done,
    /// Rejected for now: retry.
    Retry,
    /// Wrong credentials: no annotation will ever be accepted.
    Denied,
}

impl Worker {
    /// Posts all annotations in order until the queue is closed, with one last attempt.
    fn run(&self, waiting: &Receiver<Annotation>) {
        let mut kept = VecDeque::new();
        let mut more = true;
        while more && !self.stop.is_cancelled() {
            let next = if kept.is_empty() {
                waiting.recv().map_err(RecvTimeoutError::from)
            } else {
                waiting.recv_timeout(RETRY_DELAY)
            };
            more = next != Err(RecvTimeoutError::Disconnected);
            kept.extend(next.into_iter().chain(waiting.try_iter()));
            // The latest ones matter most: alerts and the outage.
            kept.drain(..kept.len().saturating_sub(QUEUE));
            while let Some(first) = kept.front() {
                match self.post(first) {
                    Attempt::Done => kept.pop_front(),
                    Attempt::Retry => break,
                    Attempt::Denied => return,
                };
            }
        }
    }

    fn post(&self, annotation: &Annotation) -> Attempt {
        let Ok(body) = serde_json::to_value(annotation) else { return Attempt::Done };
        let request = Request::post(&self.url, body).header("authorization", &self.credentials).timeout(PATIENCE);
        let status = self.runtime.block_on(async {
            tokio::select! {
                answer = self.http.request(&request) => answer.ok().map(|answer| answer.status),
                () = self.stop.cancelled() => None,
            }
        });
        match status {
            Some(200..300 | 400) => Attempt::Done,
            Some(401 | 403) => Attempt::Denied,
            _ => Attempt::Retry,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::*;

    type Received = Arc<Mutex<Vec<(String, Value)>>>;

    /// Grafana's annotation API, as documented. Rejects other passwords, and bodies without time or text. The first `early`
    /// requests get 503.
    async fn grafana(received: Received, delay: Duration, early: u32) -> String {
        let early = Arc::new(AtomicU32::new(early));
        let add = move |headers: HeaderMap, Json(body): Json<Value>| async move {
            tokio::time::sleep(delay).await;
            if early.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "message": "starting" })));
            }
            let credentials = headers.get("authorization").and_then(|text| text.to_str().ok()).unwrap_or_default();
            // admin:secret
            if credentials != "Basic YWRtaW46c2VjcmV0" {
                return (StatusCode::UNAUTHORIZED, Json(json!({ "message": "Invalid username or password" })));
            }
            if !body["time"].is_i64() || body["text"].as_str().is_none_or(str::is_empty) {
                return (StatusCode::BAD_REQUEST, Json(json!({ "message": "text field should not be empty" })));
            }
            let mut received = received.lock().expect("whole");
            received.push((credentials.to_owned(), body));
            (StatusCode::OK, Json(json!({ "message": "Annotation added", "id": received.len() })))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().route("/api/annotations", post(add));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn annotation(text: &str) -> Annotation {
        Annotation {
            dashboard_uid: "auth-health".to_owned(),
            time: 1_795_515_330_000,
            time_end: 1_795_515_332_000,
            tags: vec!["lab".to_owned()],
            text: text.to_owned(),
        }
    }

    /// Posts `count` annotations. Returns the time until all were queued and until the end.
    async fn posted(url: String, password: &'static str, count: usize) -> (Duration, Duration) {
        let work = move || {
            let poster = Poster::start(&url, password).expect("a thread");
            let begun = Instant::now();
            {
                let mut send = poster.sender();
                (0..count).for_each(|number| send(annotation(&format!("step {number}"))));
            }
            let given = begun.elapsed();
            poster.finish();
            (given, begun.elapsed())
        };
        tokio::task::spawn_blocking(work).await.expect("no panic")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn all_are_posted_with_the_labs_own_password() {
        let received = Received::default();
        let url = grafana(Arc::clone(&received), Duration::ZERO, 0).await;
        posted(url, "secret", 20).await;
        let received = received.lock().expect("whole");
        assert_eq!(received.len(), 20);
        assert_eq!(
            (received[0].1["text"].as_str(), received[19].1["text"].as_str()),
            (Some("step 0"), Some("step 19"))
        );
        let regions = received.iter().all(|(_, body)| body["timeEnd"].as_i64() > body["time"].as_i64());
        assert!(regions && received.iter().all(|(_, body)| body["dashboardUID"] == "auth-health"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_grafana_that_starts_late_gets_all_annotations() {
        let received = Received::default();
        let url = grafana(Arc::clone(&received), Duration::ZERO, 4).await;
        let shown = Arc::clone(&received);
        let count = move || shown.lock().expect("whole").len();
        let work = move || {
            let poster = Poster::start(&url, "secret").expect("a thread");
            let mut send = poster.sender();
            for number in 0..5 {
                send(annotation(&format!("step {number}")));
            }
            let begun = Instant::now();
            while count() < 5 {
                assert!(begun.elapsed() < Duration::from_secs(30), "{} were received", count());
                std::thread::sleep(Duration::from_millis(20));
            }
            send(annotation("outage"));
            drop(send);
            poster.finish();
        };
        tokio::task::spawn_blocking(work).await.expect("no panic");
        let received = received.lock().expect("whole");
        let texts: Vec<&str> = received.iter().filter_map(|(_, body)| body["text"].as_str()).collect();
        assert_eq!(texts, ["step 0", "step 1", "step 2", "step 3", "step 4", "outage"]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_unavailable_grafana_delays_nothing() {
        let received = Received::default();
        let hanging = grafana(Arc::clone(&received), Duration::from_mins(1), 0).await;
        let refusing = grafana(Arc::clone(&received), Duration::ZERO, 0).await;
        for (url, password) in [(hanging, "secret"), (refusing, "wrong"), ("http://127.0.0.1:1".to_owned(), "secret")] {
            let (given, all) = posted(url.clone(), password, 1_000).await;
            assert!(given < Duration::from_millis(500), "{url}: giving took {given:?}");
            assert!(all < LAST + Duration::from_secs(2), "{url}: the end took {all:?}");
            assert!(!url.ends_with(":1") || all < LAST, "{url}: the end took {all:?}");
        }
        assert!(received.lock().expect("whole").is_empty());
    }
}
