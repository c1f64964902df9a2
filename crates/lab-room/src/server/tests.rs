//! Tests of a room's server over HTTP.

use std::time::Duration;

use futures_util::StreamExt;
use lab_http::Exchange;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use support::{Client, Site, header, text};

mod support;

/// Routes of a seat, with forms that work.
const SEAT_ACTIONS: [(&str, &str); 8] = [
    ("/seat/name", "name=Mallory"),
    ("/seat/hand", "up=true"),
    ("/seat/ack", ""),
    ("/seat/hint", ""),
    ("/seat/diagnose", "where=gateway&what=slow"),
    ("/seat/update", "to=customers&state=investigating&affected=some&text=We+are+on+it"),
    ("/seat/console", "line=status"),
    ("/seat/finish", "confirm=yes"),
];
const SEAT_PAGES: [&str; 3] = ["/seat", "/seat/events", "/seat/debrief"];
const DESK_ACTIONS: [(&str, &str); 12] = [
    ("/desk/drill", "scenario=rotate-key"),
    ("/desk/end", "confirm=yes"),
    ("/desk/pause", ""),
    ("/desk/resume", ""),
    ("/desk/say", "text=Hello"),
    ("/desk/inject", "from=a+customer&text=Hello"),
    ("/desk/extend", "seat=2&minutes=5"),
    ("/desk/reset", "seat=2&confirm=yes"),
    ("/desk/reveal", "confirm=yes"),
    ("/desk/freeze", "frozen=true"),
    ("/desk/scene", "scene=tiles"),
    ("/desk/close", "confirm=yes"),
];
const DESK_PAGES: [&str; 7] = [
    "/desk",
    "/desk/events",
    "/desk/seat/2",
    "/desk/cards",
    "/desk/export/csv",
    "/desk/export/json",
    "/desk/export/html",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_route_needs_its_cookie_or_token() {
    let site = Site::new(2).await;
    let participant = site.participant(1).await;
    let before = site.entries();
    let strangers = [
        site.client(),
        site.client().with("cookie", &format!("lab_seat_{0}=x; lab_desk_{0}=x", site.room.config.address.port())),
        site.client().with("authorization", "Bearer x"),
    ];
    for stranger in &strangers {
        for path in SEAT_PAGES {
            let response = stranger.get(path).await;
            let is_led_away = response.status == 303 && header(&response, "location") == Some("/");
            assert!(is_led_away || response.status == 401, "{path} {}", response.status);
        }
        for (path, form) in SEAT_ACTIONS {
            assert_eq!(stranger.post(path, form).await.status, 401, "{path}");
        }
    }
    for outsider in strangers.iter().chain([&participant]) {
        for path in DESK_PAGES {
            assert_eq!(outsider.get(path).await.status, 401, "{path}");
        }
        for (path, form) in DESK_ACTIONS {
            assert_eq!(outsider.post(path, form).await.status, 401, "{path}");
        }
        assert_eq!(outsider.get("/desk?token=x").await.status, 401);
    }
    assert_eq!(site.entries(), before, "nothing was written");
    for path in DESK_PAGES.into_iter().filter(|path| !path.ends_with("events")) {
        assert_eq!(site.trainer().get(path).await.status, 200, "{path}");
    }
    assert_eq!(site.trainer().get("/seat").await.status, 303, "the trainer has no seat");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_seat_reads_or_changes_another_one() {
    let site = Site::new(2).await;
    let (mallory, victim) = (site.participant(1).await, site.participant(2).await);
    site.start_drill().await;
    assert_eq!(victim.post("/seat/name", "name=Victoria").await.status, 303);
    assert_eq!(victim.post("/seat/console", "line=logs+victims-line").await.status, 303);
    let theirs = |site: &Site| {
        site.room.host.with_state(|state| {
            let seat = &state.room.seats[&2];
            let drill = state.drill(seat).unwrap();
            let acts = (drill.acknowledgements.len(), drill.hints.len(), drill.tries.len(), drill.updates.len());
            format!("{seat:?} {acts:?} {:?}", drill.ended)
        })
    };
    let before = theirs(&site);
    for (path, form) in SEAT_ACTIONS.into_iter().filter(|(path, _)| *path != "/seat/finish") {
        for target in [path.to_owned(), format!("{path}?seat=2")] {
            let response = mallory.post(&target, &format!("{form}&seat=2&number=2&lab=monday-02")).await;
            assert!([303, 409, 429].contains(&response.status), "{target} {}", response.status);
        }
        assert_eq!(theirs(&site), before, "{path}");
    }
    let done = site.room.host.with_state(|state| {
        let drill = state.drill(&state.room.seats[&1]).unwrap();
        (drill.acknowledgements.len(), drill.hints.len(), drill.tries.len(), drill.updates.len())
    });
    assert_eq!(done, (2, 2, 2, 2), "the actions were those of the own seat");
    for path in ["/seat", "/seat?seat=2", "/seat/2", "/seat/debrief?seat=2"] {
        let page = text(&mallory.get(path).await);
        assert!(!page.contains("victims-line") && !page.contains("Victoria"), "{path}");
    }
    let events = mallory.events("/seat/events?seat=2", &["event: console"]).await;
    assert!(!events.contains("victims-line") && !events.contains("Victoria"));
    assert!(text(&victim.get("/seat").await).contains("victims-line"));
    let finished = mallory.post("/seat/finish", "confirm=yes&seat=2").await;
    assert_eq!((finished.status, theirs(&site)), (303, before));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_other_sites_are_refused() {
    let site = Site::new(1).await;
    let participant = site.participant(1).await;
    let cookie = participant.headers[0].1.clone();
    let with = |name: &str, value: &str| site.client().with("cookie", &cookie).with(name, value);
    let port = site.room.config.address.port();
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), "127.0.0.1:1".to_owned()] {
        assert_eq!(with("host", &host).get("/seat").await.status, 421, "{host}");
    }
    let before = site.entries();
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "https://127.0.0.1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(with(name, value).post("/seat/hand", "up=true").await.status, 403, "{name} {value}");
        assert_eq!(with(name, value).get("/seat/events").await.status, 403, "{name} {value}");
    }
    let wrong_type = participant.request("POST", "/seat/hand").header("content-type", "text/plain");
    assert_eq!(participant.http.exchange(&wrong_type, b"up=true".to_vec()).await.unwrap().status, 415);
    assert_eq!(site.entries(), before);
    let link = with("sec-fetch-site", "cross-site").with("sec-fetch-mode", "navigate");
    assert_eq!(link.get("/board").await.status, 200, "an agenda may link to the board");
    assert_eq!(with("origin", &site.base).post("/seat/hand", "up=true").await.status, 303);
    assert_eq!(with("host", &format!("localhost:{port}")).get("/seat").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_can_be_guessed_a_few_times_only() {
    let site = Site::new(1).await;
    let participant = site.participant(1).await;
    let client = site.client();
    for _ in 0..10 {
        assert_eq!(client.post("/join", "code=otter-0000").await.status, 403);
    }
    let code = site.room.config.seats[0].code.to_string();
    let response = client.post("/join", &format!("code={code}")).await;
    assert_eq!((response.status, header(&response, "set-cookie")), (429, None));
    assert!(header(&response, "retry-after").unwrap().parse::<u64>().unwrap() <= 60);
    assert_eq!(participant.get("/seat").await.status, 200, "devices with a seat are not affected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_keeps_its_seat_and_finds_it_by_the_address() {
    let site = Site::new(2).await;
    let device = site.participant(1).await;
    let response = device.get("/").await;
    assert_eq!((response.status, header(&response, "location")), (303, Some("/seat")));
    let code = site.room.config.seats[0].code.to_string();
    let again = device.post("/join", &format!("code={}", code.to_uppercase().replace('-', "+"))).await;
    assert_eq!((again.status, header(&again, "set-cookie")), (303, None), "it has the seat already");
    let form = site.client().get(&format!("/join/{code}")).await;
    assert!(form.status == 200 && text(&form).contains(&code) && header(&form, "set-cookie").is_none());
    let other = site.participant(1).await;
    assert_ne!(other.headers, device.headers, "each device has its own token");
    let cookie = site.client().post("/join", &format!("code={code}")).await;
    let cookie = header(&cookie, "set-cookie").unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let log = std::fs::read_to_string(site.room.path("events.ndjson")).unwrap();
    let token = cookie.split(['=', ';']).nth(1).unwrap();
    assert!(!log.contains(token) && !log.contains(&code), "the log has neither tokens nor codes");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_text_is_escaped_everywhere() {
    let site = Site::new(1).await;
    let participant = site.participant(1).await;
    let attack = "name=%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    assert_eq!(participant.post("/seat/name", attack).await.status, 303);
    let line = "line=status+%3Cscript%3Ealert(2)%3C%2Fscript%3E";
    assert_eq!(participant.post("/seat/console", line).await.status, 303);
    let trainer = site.trainer();
    assert_eq!(trainer.post("/desk/scene", "scene=tiles").await.status, 303);
    for page in [
        participant.get("/seat").await,
        trainer.get("/board").await,
        trainer.get("/desk").await,
        trainer.get("/desk/seat/1").await,
        trainer.get("/desk/export/html").await,
        trainer.get("/desk/cards").await,
        site.client().get("/join/%3Cscript%3Ealert(3)").await,
    ] {
        let text = text(&page);
        assert!(page.status == 200 && !text.contains("<script>alert"), "{text}");
    }
    let events = participant.events("/seat/events", &["event: console"]).await;
    assert!(!events.contains("<script>alert"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_work_with_and_without_scripts() {
    let site = Site::new(1).await;
    let participant = site.participant(1).await;
    let done = participant.post("/seat/hand", "up=true").await;
    assert_eq!((done.status, header(&done, "location")), (303, Some("/seat")));
    let refused = participant.post("/seat/ack", "").await;
    assert_eq!((refused.status, header(&refused, "content-type")), (409, Some("text/html; charset=utf-8")));
    assert!(text(&refused).contains("no drill is in progress"));
    let json = site.participant(1).await.json();
    let value = |response: &Exchange| serde_json::from_slice::<serde_json::Value>(&response.body).unwrap();
    assert_eq!(value(&json.post("/seat/hand", "up=false").await), serde_json::json!({ "ok": true }));
    let refused = json.post("/seat/console", "line=rm").await;
    assert_eq!(refused.status, 400);
    assert_eq!(value(&refused)["error"], "\"rm\" is not available in a room");
    site.start_drill().await;
    let update = "to=customers&state=investigating&affected=some&text=Fixed+soon";
    let warned = json.post("/seat/update", update).await;
    assert_eq!((warned.status, value(&warned)["confirm"].clone()), (409, true.into()));
    assert_eq!(value(&json.post("/seat/update", &format!("{update}&confirm=yes")).await)["ok"], true);
    let answer = json.post("/seat/diagnose", "where=gateway&what=slow&where2=&what2=").await;
    assert!(value(&answer)["message"].as_str().unwrap().contains("recorded"));
    assert_eq!(json.post("/seat/diagnose", "where=cloud&what=slow").await.status, 400);
    assert_eq!(json.post("/seat/nothing", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_no_forms_get_a_page_or_json_with_the_reason() {
    let site = Site::new(1).await;
    let participant = site.participant(1).await;
    let json = site.participant(1).await.json();
    let large = format!("name={}", "x".repeat(20_000));
    let as_text = |client: &Client| client.request("POST", "/seat/name").header("content-type", "text/plain");
    for (status, page, document, reason) in [
        (413, participant.post("/seat/name", &large).await, json.post("/seat/name", &large).await, "at most 16 KiB"),
        (
            415,
            participant.http.exchange(&as_text(&participant), b"name=Ada".to_vec()).await.unwrap(),
            json.http.exchange(&as_text(&json), b"name=Ada".to_vec()).await.unwrap(),
            "application/x-www-form-urlencoded",
        ),
        (405, participant.get("/seat/name").await, json.get("/seat/name").await, "cannot be used like that"),
        (404, participant.get("/nothing").await, json.get("/nothing").await, "no such page"),
        (404, participant.post("/seat/x", "").await, json.post("/seat/x", "").await, "no such action"),
    ] {
        assert_eq!((page.status, document.status), (status, status), "{reason}");
        assert_eq!(header(&page, "content-type"), Some("text/html; charset=utf-8"), "{reason}");
        assert!(text(&page).contains(reason) && text(&page).contains("<a href=\"/"), "{}", text(&page));
        let document: serde_json::Value = serde_json::from_slice(&document.body).unwrap();
        assert!(document["error"].as_str().unwrap().contains(reason), "{document}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_is_entered_by_its_token_and_asks_before_it_ends_something() {
    let site = Site::new(1).await;
    let path = format!("/desk?token={}", site.room.config.desk.as_str());
    let entered = site.client().get(&path).await;
    assert_eq!((entered.status, header(&entered, "location")), (303, Some("/desk")));
    let cookie = header(&entered, "set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let link = site.client().with("sec-fetch-site", "cross-site").with("sec-fetch-mode", "navigate").get(&path).await;
    assert!(link.status == 200 && text(&link).contains("url=/desk") && header(&link, "set-cookie").is_some());
    let desk = site.client().with("cookie", &cookie).json();
    assert_eq!(desk.get("/desk").await.status, 200);
    assert_eq!(header(&desk.get("/desk").await, "cache-control"), Some("no-store"));
    assert!(header(&desk.get("/desk").await, "content-security-policy").unwrap().contains("script-src 'self'"));
    assert_eq!(desk.post("/desk/drill", "scenario=nothing").await.status, 400);
    assert_eq!(desk.post("/desk/drill", "scenario=wrong-upstream&limit=30&quiet=5").await.status, 200);
    let order = site.room.host.with_state(|state| state.room.drill().unwrap().order.clone());
    assert_eq!((order.scenario.as_str(), order.limit, order.quiet), ("wrong-upstream", Some(1800), Some(5)));
    assert!(text(&desk.post("/desk/end", "").await).contains("\"confirm\":true"));
    assert_eq!(site.trainer().json().post("/desk/end", "").await.status, 200, "a program need not confirm");
    assert_eq!(desk.post("/desk/reveal", "confirm=yes").await.status, 200);
    for (path, form) in [("/desk/reset", "seat=9&confirm=yes"), ("/desk/say", "seat=9&text=Hello")] {
        assert_eq!(desk.post(path, form).await.status, 404, "{path}");
    }
    let csv = desk.get("/desk/export/csv").await;
    assert_eq!(header(&csv, "content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(header(&csv, "content-disposition"), Some("attachment; filename=\"monday.csv\""));
    assert_eq!(desk.get("/desk/export/exe").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_kept_up_to_date_and_reconnect() {
    let site = Site::new(2).await;
    let participant = site.participant(1).await;
    let desk = site.trainer();
    desk.events("/desk/events", &["retry: 2000", "event: "]).await;
    let (seen, ()) = tokio::join!(desk.events("/desk/events", &["Hello-from-the-test"]), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        participant.post("/seat/name", "name=Hello-from-the-test").await;
    });
    assert!(seen.matches("event: ").count() > 1);
    desk.events("/desk/events", &["Hello-from-the-test"]).await;
    // The oldest connections of a page are closed for newer ones.
    let request = participant.request("GET", "/seat/events");
    let mut oldest = participant.http.lines(&request).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..16 {
        others.push(participant.http.lines(&request).await.unwrap());
    }
    let closed = timeout(Duration::from_secs(10), async { while oldest.next().await.is_some() {} }).await;
    assert!(closed.is_ok(), "the oldest connection is closed");
    let first = timeout(Duration::from_secs(10), others[0].next()).await.unwrap();
    assert!(first.is_some_and(|line| line.is_ok()));
}

#[tokio::test(flavor = "multi_thread")]
async fn open_pages_show_that_the_room_is_closed_before_the_server_ends() {
    let site = Site::new(1).await;
    let participant = site.participant(1).await;
    let trainer = site.trainer();
    assert_eq!(trainer.post("/desk/freeze", "frozen=true").await.status, 303);
    let pages = [
        (participant.request("GET", "/seat/events"), "This room is closed"),
        (participant.request("GET", "/board/events"), ">closed<"),
        (trainer.request("GET", "/desk/events"), ">closed<"),
    ];
    let mut streams = Vec::new();
    for (request, text) in pages {
        streams.push((participant.http.lines(&request).await.unwrap(), text));
    }
    assert_eq!(trainer.post("/desk/close", "confirm=yes").await.status, 303);
    site.end.cancel();
    for (mut lines, text) in streams {
        let mut events = String::new();
        let read = timeout(Duration::from_secs(10), async {
            while let Some(Ok(line)) = lines.next().await {
                events += &line;
            }
        });
        assert!(read.await.is_ok(), "the stream ends");
        assert!(events.contains(text) && events.ends_with("event: closeddata: closed"), "{text}: {events}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_do_not_hold_others_up_or_the_end() {
    let site = Site::new(1).await;
    let participant = site.participant(1).await;
    let mut silent = Vec::new();
    for _ in 0..30 {
        let mut stream = TcpStream::connect(site.room.config.address).await.unwrap();
        let head = format!("GET /board/events HTTP/1.1\r\nhost: {}\r\n\r\n", site.room.config.address);
        stream.write_all(head.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    for up in [true, false, true] {
        let form = format!("up={up}");
        let acting = participant.post("/seat/hand", &form);
        assert_eq!(timeout(Duration::from_secs(5), acting).await.unwrap().status, 303);
    }
    assert_eq!(participant.get("/assets/room.js").await.status, 200);
    assert_eq!(participant.get("/assets/../Cargo.toml").await.status, 404);
}
