//! [`Poster`]: posts annotations to the lab's Grafana, in a thread of its own: a run waits for nothing but, at its end, a
//! moment for the last of them. A Grafana that has only just been started takes none yet: what it did not take is posted again.
//! Where it never does, nothing is lost: the run's own record has it all.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_util::sync::CancellationToken;

use lab_http::{Http, Request};
use lab_report::report::annotations::Annotation;

/// How many may wait to be posted, and as many to be posted again; more are dropped.
const QUEUE: usize = 256;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the end waits for those that are left.
const LAST: Duration = Duration::from_secs(1);
/// After how long what was not taken is posted again.
const AGAIN: Duration = Duration::from_secs(1);
/// The name that Grafana's first user has.
const USER: &str = "admin";

/// Posts what it is given.
pub(super) struct Poster {
    queue: Option<SyncSender<Annotation>>,
    done: Receiver<()>,
    give_up: CancellationToken,
}

impl Poster {
    /// To the Grafana at this base URL, with its admin's password. None where there is no thread to be had.
    pub(super) fn start(base: &str, password: &str) -> Option<Self> {
        let (queue, waiting) = sync_channel::<Annotation>(QUEUE);
        let (end, done) = sync_channel(1);
        let give_up = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let url = format!("{}/api/annotations", base.trim_end_matches('/'));
        let credentials = format!("Basic {}", STANDARD.encode(format!("{USER}:{password}")));
        let stop = give_up.clone();
        let work = move || {
            Posting { runtime, http: Http::new(), url, credentials, stop }.all(&waiting);
            let _ = end.send(());
        };
        std::thread::Builder::new().name("annotations".to_owned()).spawn(work).ok()?;
        Some(Self { queue: Some(queue), done, give_up })
    }

    /// What takes them; it never waits.
    pub(super) fn taker(&self) -> impl FnMut(Annotation) + Send + use<> {
        let queue = self.queue.clone();
        move |annotation| {
            if let Some(queue) = &queue {
                let _ = queue.try_send(annotation);
            }
        }
    }

    /// Waits a moment for those that are left; whoever took them must be gone.
    pub(super) fn finish(mut self) {
        self.queue = None;
        let _ = self.done.recv_timeout(LAST);
        self.give_up.cancel();
    }
}

/// How annotations are posted.
struct Posting {
    runtime: tokio::runtime::Runtime,
    http: Http,
    url: String,
    credentials: String,
    stop: CancellationToken,
}

/// What became of one.
enum Posted {
    /// It is over with: taken, or such that it never will be.
    Over,
    /// Nobody takes it now.
    Later,
    /// None is ever taken from here.
    Never,
}

impl Posting {
    /// Posts all in their order, until whoever gives them is gone and one more was tried.
    fn all(&self, waiting: &Receiver<Annotation>) {
        let mut kept = VecDeque::new();
        let mut more = true;
        while more && !self.stop.is_cancelled() {
            let next = if kept.is_empty() {
                waiting.recv().map_err(RecvTimeoutError::from)
            } else {
                waiting.recv_timeout(AGAIN)
            };
            more = next != Err(RecvTimeoutError::Disconnected);
            kept.extend(next.into_iter().chain(waiting.try_iter()));
            // The last ones tell most: what fired, and the outage.
            kept.drain(..kept.len().saturating_sub(QUEUE));
            while let Some(first) = kept.front() {
                match self.post(first) {
                    Posted::Over => kept.pop_front(),
                    Posted::Later => break,
                    Posted::Never => return,
                };
            }
        }
    }

    fn post(&self, annotation: &Annotation) -> Posted {
        let Ok(body) = serde_json::to_value(annotation) else { return Posted::Over };
        let request = Request::post(&self.url, body).header("authorization", &self.credentials).timeout(PATIENCE);
        let status = self.runtime.block_on(async {
            tokio::select! {
                answer = self.http.request(&request) => answer.ok().map(|answer| answer.status),
                () = self.stop.cancelled() => None,
            }
        });
        match status {
            Some(200..300 | 400) => Posted::Over,
            Some(401 | 403) => Posted::Never,
            _ => Posted::Later,
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

    type Taken = Arc<Mutex<Vec<(String, Value)>>>;

    /// Grafana's API for annotations, as documented; it refuses another password, and what lacks a time or a text. So many
    /// requests come before it is ready.
    async fn grafana(taken: Taken, delay: Duration, early: u32) -> String {
        let early = Arc::new(AtomicU32::new(early));
        let add = move |headers: HeaderMap, Json(body): Json<Value>| async move {
            tokio::time::sleep(delay).await;
            if early.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "message": "starting" })));
            }
            let credentials = headers.get("authorization").and_then(|text| text.to_str().ok()).unwrap_or_default();
            // admin:hush
            if credentials != "Basic YWRtaW46aHVzaA==" {
                return (StatusCode::UNAUTHORIZED, Json(json!({ "message": "Invalid username or password" })));
            }
            if !body["time"].is_i64() || body["text"].as_str().is_none_or(str::is_empty) {
                return (StatusCode::BAD_REQUEST, Json(json!({ "message": "text field should not be empty" })));
            }
            let mut taken = taken.lock().expect("whole");
            taken.push((credentials.to_owned(), body));
            (StatusCode::OK, Json(json!({ "message": "Annotation added", "id": taken.len() })))
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

    /// Posts so many, and how long giving them and the end took.
    async fn posted(url: String, password: &'static str, count: usize) -> (Duration, Duration) {
        let work = move || {
            let poster = Poster::start(&url, password).expect("a thread");
            let begun = Instant::now();
            {
                let mut take = poster.taker();
                (0..count).for_each(|number| take(annotation(&format!("step {number}"))));
            }
            let given = begun.elapsed();
            poster.finish();
            (given, begun.elapsed())
        };
        tokio::task::spawn_blocking(work).await.expect("no panic")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn all_are_posted_with_the_labs_own_password() {
        let taken = Taken::default();
        let url = grafana(Arc::clone(&taken), Duration::ZERO, 0).await;
        posted(url, "hush", 20).await;
        let taken = taken.lock().expect("whole");
        assert_eq!(taken.len(), 20);
        assert_eq!((taken[0].1["text"].as_str(), taken[19].1["text"].as_str()), (Some("step 0"), Some("step 19")));
        let regions = taken.iter().all(|(_, body)| body["timeEnd"].as_i64() > body["time"].as_i64());
        assert!(regions && taken.iter().all(|(_, body)| body["dashboardUID"] == "auth-health"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_grafana_that_is_ready_late_gets_all_of_them() {
        let taken = Taken::default();
        let url = grafana(Arc::clone(&taken), Duration::ZERO, 4).await;
        let shown = Arc::clone(&taken);
        let count = move || shown.lock().expect("whole").len();
        let work = move || {
            let poster = Poster::start(&url, "hush").expect("a thread");
            let mut take = poster.taker();
            for number in 0..5 {
                take(annotation(&format!("step {number}")));
            }
            let begun = Instant::now();
            while count() < 5 {
                assert!(begun.elapsed() < Duration::from_secs(30), "{} were taken", count());
                std::thread::sleep(Duration::from_millis(20));
            }
            take(annotation("outage"));
            drop(take);
            poster.finish();
        };
        tokio::task::spawn_blocking(work).await.expect("no panic");
        let taken = taken.lock().expect("whole");
        let texts: Vec<&str> = taken.iter().filter_map(|(_, body)| body["text"].as_str()).collect();
        assert_eq!(texts, ["step 0", "step 1", "step 2", "step 3", "step 4", "outage"]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_grafana_that_hangs_or_refuses_or_is_not_there_keeps_nobody() {
        let taken = Taken::default();
        let hanging = grafana(Arc::clone(&taken), Duration::from_mins(1), 0).await;
        let refusing = grafana(Arc::clone(&taken), Duration::ZERO, 0).await;
        for (url, password) in [(hanging, "hush"), (refusing, "wrong"), ("http://127.0.0.1:1".to_owned(), "hush")] {
            let (given, all) = posted(url.clone(), password, 1_000).await;
            assert!(given < Duration::from_millis(500), "{url}: giving took {given:?}");
            assert!(all < LAST + Duration::from_secs(2), "{url}: the end took {all:?}");
            assert!(!url.ends_with(":1") || all < LAST, "{url}: the end took {all:?}");
        }
        assert!(taken.lock().expect("whole").is_empty());
    }
}
