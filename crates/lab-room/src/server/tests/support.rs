//! A room with its server, and clients, for tests.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lab_http::{Exchange, Http, Request};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::SeatNumber;
use crate::server::serve;
use crate::testing::TestRoom;

/// A room with its server.
pub(super) struct Site {
    pub(super) room: TestRoom,
    pub(super) base: String,
    pub(super) end: CancellationToken,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// A browser or program with headers that it always sends.
pub(super) struct Client {
    pub(super) http: Http,
    base: String,
    pub(super) headers: Vec<(String, String)>,
}

impl Site {
    pub(super) async fn new(seats: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let room = TestRoom::at(seats, address);
        room.until_up().await;
        let end = CancellationToken::new();
        tokio::spawn(serve(listener, Arc::clone(&room.host), end.clone()));
        Self { room, base: format!("http://{address}"), end }
    }

    pub(super) fn client(&self) -> Client {
        Client { http: Http::new(), base: self.base.clone(), headers: Vec::new() }
    }

    pub(super) async fn participant(&self, seat: SeatNumber) -> Client {
        let code = self.room.config.seat(seat).unwrap().code.to_string();
        let response = self.client().post("/join", &format!("code={code}")).await;
        assert_eq!(response.status, 303);
        let cookie = header(&response, "set-cookie").unwrap().split(';').next().unwrap().to_owned();
        self.client().with("cookie", &cookie)
    }

    pub(super) fn trainer(&self) -> Client {
        self.client().with("authorization", &format!("Bearer {}", self.room.config.desk.as_str()))
    }

    pub(super) fn entries(&self) -> u64 {
        self.room.host.with_state(|state| state.room.entries)
    }

    pub(super) async fn start_drill(&self) {
        assert_eq!(self.trainer().post("/desk/drill", "scenario=wrong-upstream").await.status, 303);
        self.room
            .until("the drill begins", |state| {
                let mut joined = state.room.seats.values().filter(|seat| seat.joined.is_some());
                joined.all(|seat| state.drill(seat).is_some_and(|drill| drill.impact.is_some()))
            })
            .await;
    }
}

impl Client {
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn json(self) -> Self {
        self.with("accept", "application/json")
    }

    pub(super) fn request(&self, method: &str, path: &str) -> Request {
        let mut request = Request::new(method, format!("{}{path}", self.base)).timeout(Duration::from_secs(20));
        request.headers.clone_from(&self.headers);
        request
    }

    pub(super) async fn get(&self, path: &str) -> Exchange {
        self.http.exchange(&self.request("GET", path), Vec::new()).await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, form: &str) -> Exchange {
        let request = self.request("POST", path).header("content-type", "application/x-www-form-urlencoded");
        self.http.exchange(&request, form.as_bytes().to_vec()).await.unwrap()
    }

    /// Reads a stream of events until its text contains all of these. Returns the text.
    pub(super) async fn events(&self, path: &str, wanted: &[&str]) -> String {
        let mut lines = self.http.lines(&self.request("GET", path)).await.unwrap();
        let mut text = String::new();
        let reading = async {
            while let Some(Ok(line)) = lines.next().await {
                text.push_str(&line);
                text.push('\n');
                if wanted.iter().all(|wanted| text.contains(wanted)) {
                    break;
                }
            }
        };
        let _ = timeout(Duration::from_secs(10), reading).await;
        for wanted in wanted {
            assert!(text.contains(wanted), "{wanted:?} is not in {text}");
        }
        text
    }
}

pub(super) fn header<'a>(response: &'a Exchange, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

pub(super) fn text(response: &Exchange) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}
