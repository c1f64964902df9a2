//! The dashboard of an embedded lab in a browser.

use std::process::Stdio;

use libtest_mimic::Trial;
use serde_json::json;

use crate::browser::Browser;
use crate::desk::Desk;
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("dashboard::the_outage_shows_while_rotate_key_runs", the_outage_shows_while_rotate_key_runs),
        trial("dashboard::a_pause_also_applies_to_opened_details", a_pause_also_applies_to_opened_details),
        trial("dashboard::changes_of_an_alert_are_marked", changes_of_an_alert_are_marked),
        trial("dashboard::it_is_readable_on_a_phone_and_by_keyboard", it_is_readable_on_a_phone_and_by_keyboard),
        trial("dashboard::other_sites_are_refused", other_sites_are_refused),
    ]
}

/// Starts a lab. Returns the address of its dashboard.
fn lab() -> (Desk, String) {
    let desk = Desk::new();
    desk.lab(&["up", "--port", "0"]).status(0);
    let address = desk.status()["dashboard"].as_str().expect("it has a dashboard").to_owned();
    (desk, address)
}

/// Labels of the charts, with the current and the highest value of each line: "failures now 20/s, at most 20/s".
const LABELS: &str =
    "return [...document.querySelectorAll('svg')].map((svg) => svg.getAttribute('aria-label')).join('\\n')";

async fn the_outage_shows_while_rotate_key_runs() {
    let (desk, address) = lab();
    let browser = Browser::open(1280, 900, false).await;
    browser.goto(&address).await;
    browser.until("return document.getElementById('state').textContent.startsWith('The app is up')").await;
    let mut run = desk.command(&["scenario", "run", "rotate-key", "--set", "requests=80"]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("lab starts");
    // During the outage: the headline and the chart.
    browser.until("return document.getElementById('state').textContent.startsWith('Keys are rejected')").await;
    browser
        .until(
            "return [...document.querySelectorAll('article')].some((panel) => \
             panel.querySelector('h3').textContent === 'Auth failures/s' && \
             / at most (1[0-9]|2[0-9])\\/s/.test(panel.querySelector('svg').getAttribute('aria-label')))",
        )
        .await;
    browser.until("return document.getElementById('state').textContent.startsWith('Requests are answered')").await;
    assert!(run.wait().expect("it ends").success(), "the run fails");
    // The list of alerts is empty until the rules are evaluated.
    browser
        .until("return /^(None\\.|pending|firing|resolved)/.test(document.querySelector('#alerts ul').textContent)")
        .await;
    // The steps are marks, in the list and on each chart.
    browser.until("return document.querySelectorAll('#marks li:not(.pending)').length === 6").await;
    let marks = browser.run("return [...document.querySelectorAll('#marks li')].map((mark) => mark.textContent)").await;
    for step in ["baseline", "rotate-key", "drive-traffic", "realign", "verify", "end of run"] {
        assert!(
            marks.as_array().expect("a list").iter().any(|mark| mark.to_string().contains(step)),
            "{step}: {marks}"
        );
    }
    let drawn = "return [...document.querySelectorAll('path.mark.steps')].every((path) => path.getAttribute('d').split('M').length > 5)";
    browser.until(drawn).await;
    let labels = browser.run(LABELS).await;
    let labels = labels.as_str().expect("text");
    for word in ["Status codes", "200 now", "401 now", "Latency: p50"] {
        assert!(labels.contains(word), "{word}: {labels}");
    }
    // The rotation restarted the app, and so did its undo.
    assert!(
        labels.contains("Redeploys: redeploys now 1,") || labels.contains("Redeploys: redeploys now 2,"),
        "{labels}"
    );
    // The page requested no other address.
    let asked = browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)").await;
    for name in asked.as_array().expect("a list") {
        assert!(name.as_str().expect("an address").starts_with(&address), "{name}");
    }
    browser.close().await;
}

async fn changes_of_an_alert_are_marked() {
    let (desk, address) = lab();
    let browser = Browser::open(1280, 900, true).await;
    browser.goto(&address).await;
    browser.until("return /None|TrafficAbsent/.test(document.querySelector('#alerts ul').textContent)").await;
    desk.lab(&["scenario", "run", "app-down", "--until", "inject"]).status(0);
    let is = |state: &str| {
        format!(
            "return /alert AppDown {state}/.test(document.querySelector('#marks .{state}')?.textContent) && \
             [...document.querySelectorAll('path.mark.{state}')].every((path) => path.getAttribute('d').startsWith('M'))"
        )
    };
    browser.until(&is("pending")).await;
    browser.until(&is("firing")).await;
    desk.lab(&["recover"]).status(0);
    browser.until(&is("resolved")).await;
    let numbered =
        "return [...document.querySelectorAll('.numbers span')].some((mark) => mark.textContent.endsWith('!'))";
    browser.until(numbered).await;
    browser.close().await;
}

async fn a_pause_also_applies_to_opened_details() {
    let (_desk, address) = lab();
    let browser = Browser::open(1280, 900, false).await;
    browser.goto(&address).await;
    browser.until("return state.points.length > 2").await;
    browser.run("document.getElementById('pause').click()").await;
    let ends = "return [...document.querySelectorAll('.x span:last-child')].map((end) => end.textContent).join()";
    let before = browser.run(ends).await;
    let newest = "return document.querySelector('details tbody th').textContent";
    browser.run("document.querySelector('details').open = true").await;
    browser.until("return document.querySelector('details tbody th') !== null").await;
    let first = browser.run(newest).await;
    browser.run("window.known = state.points.length").await;
    browser.until("return state.points.length > window.known + 1").await;
    browser.run("for (const id of [1, 0]) document.querySelectorAll('input[name=range]')[id].click()").await;
    browser.run("document.querySelectorAll('details')[1].open = true").await;
    browser.until("return document.querySelectorAll('details tbody').length === 2").await;
    assert_eq!((browser.run(ends).await, browser.run(newest).await), (before.clone(), first.clone()));
    browser.run("document.getElementById('pause').click()").await;
    assert_ne!((browser.run(ends).await, browser.run(newest).await), (before, first), "the page is up to date again");
    browser.close().await;
}

async fn it_is_readable_on_a_phone_and_by_keyboard() {
    let (_desk, address) = lab();
    let browser = Browser::open(500, 900, true).await;
    browser.goto(&address).await;
    browser.until("return document.querySelectorAll('article').length === 9").await;
    browser.until("return /now|no data/.test(document.querySelector('svg').getAttribute('aria-label'))").await;
    let wide = browser.run("return document.documentElement.scrollWidth <= window.innerWidth").await;
    assert_eq!(wide, json!(true), "the page is wider than the window");
    // Controls can be reached and used with the keyboard.
    browser.run("document.getElementById('pause').focus()").await;
    let body = browser.client.find(fantoccini::Locator::Css("#pause")).await.expect("a button");
    body.send_keys(" ").await.expect("a key");
    browser.until("return document.getElementById('pause').getAttribute('aria-pressed') === 'true'").await;
    browser
        .until("document.querySelector('details').open = true; return document.querySelector('details table') !== null")
        .await;
    let named = browser.run("return [...document.querySelectorAll('input,button,svg,article')].every((node) => node.labels?.length || node.textContent || node.getAttribute('aria-label'))").await;
    assert_eq!(named, json!(true), "an element has no accessible name");
    browser.close().await;
}

async fn other_sites_are_refused() {
    let (_desk, address) = lab();
    let browser = Browser::open(800, 600, false).await;
    // Scripts of another origin on the same machine can send requests, but get no response.
    let (other, _desk) = {
        let (desk, other) = lab();
        (other, desk)
    };
    browser.goto(&other).await;
    let script = format!(
        "const done = arguments[arguments.length - 1]; \
         fetch('{address}data', {{ mode: 'no-cors' }}).then(() => done('answered'), () => done('refused'))"
    );
    let said = browser.client.execute_async(&script, Vec::new()).await.expect("a script");
    assert_eq!(said, json!("refused"));
    browser.close().await;
}
