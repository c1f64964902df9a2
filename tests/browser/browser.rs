//! [`Browser`]: a headless Chromium and its driver for one test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};

/// Time limit of a wait.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Width in CSS pixels below which a window is that of a phone.
const PHONE: u32 = 500;
/// Attempts to start the driver. A port that is free on IPv4 may be taken on IPv6.
const ATTEMPTS: u32 = 5;

/// A session of a browser.
pub(crate) struct Browser {
    pub(crate) client: Client,
    driver: Driver,
}

/// The driver's process, killed when dropped.
struct Driver(Child);

impl Driver {
    /// Starts a driver. Returns it with its port, or `None` if it did not get one.
    fn start() -> Option<(Self, u16)> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = Self(command.spawn().expect("chromedriver starts: apt-get install chromium chromium-driver"));
        let mut lines = BufReader::new(driver.0.stdout.take().expect("stdout is piped")).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            // "ChromeDriver was started successfully on port 41877."
            line.strip_prefix("ChromeDriver was started successfully on port ")?.trim_end_matches('.').parse().ok()
        })?;
        // Reads the further output, so that it does not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some((driver, port))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Browser {
    /// Starts a browser with a page of this size in CSS pixels, or a phone if it is narrow, in light or dark mode.
    pub(crate) async fn open(width: u32, height: u32, dark: bool) -> Self {
        let (driver, port) = (0..ATTEMPTS).find_map(|_| Driver::start()).expect("chromedriver prints its port");
        let mut args = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
        ];
        args.extend(dark.then(|| "--blink-settings=preferredColorScheme=0".to_owned()));
        // The size of a window would include the browser's own bars.
        let is_phone = width < PHONE;
        let metrics =
            json!({ "width": width, "height": height, "pixelRatio": 1.0, "mobile": is_phone, "touch": is_phone });
        let options = json!({ "args": args, "mobileEmulation": { "deviceMetrics": metrics } });
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".to_owned(), options);
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL" }));
        let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(&format!("http://127.0.0.1:{port}")).await;
        Self { client: client.expect("a session"), driver }
    }

    /// Opens an address.
    pub(crate) async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Runs a script and returns its result.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Polls until a script returns true.
    pub(crate) async fn until(&self, script: &str) {
        let poll = async {
            while self.run(script).await != Value::Bool(true) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let passed = tokio::time::timeout(TIMEOUT, poll).await.is_ok();
        let page = if passed { Value::Null } else { self.run("return document.body.innerText").await };
        assert!(passed, "not true in time: {script}\n{page}");
    }

    /// Polls until the first element of a selector shows a text.
    pub(crate) async fn until_shown(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.until(&format!("return document.querySelector({selector})?.innerText.includes({text}) === true")).await;
    }

    /// Text of the page that can be seen.
    pub(crate) async fn text(&self) -> String {
        self.run("return document.body.innerText").await.as_str().expect("a text").to_owned()
    }

    /// Clicks the first element of a selector.
    pub(crate) async fn click(&self, selector: &str) {
        let clicked = self.find(selector).await.click().await;
        clicked.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Replaces the text of a field by typing.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let field = self.find(selector).await;
        let typed = async {
            field.clear().await?;
            field.send_keys(text).await
        };
        typed.await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Chooses the option with a value from a list.
    pub(crate) async fn choose(&self, selector: &str, value: &str) {
        let chosen = self.find(selector).await.select_by_value(value).await;
        chosen.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Picture of the window, as PNG.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        self.client.screenshot().await.expect("a picture")
    }

    /// Presses a key.
    pub(crate) async fn press(&self, key: Key) {
        self.type_text(&char::from(key).to_string()).await;
    }

    /// Types into the element that has the focus.
    pub(crate) async fn type_text(&self, text: &str) {
        let focused = self.client.active_element().await.expect("an element has the focus");
        focused.send_keys(text).await.unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }

    /// Accepts a question that contains a text.
    pub(crate) async fn confirm(&self, text: &str) {
        let question = self.client.get_alert_text().await.expect("a question");
        assert!(question.contains(text), "{question}");
        self.client.accept_alert().await.expect("a question");
    }

    async fn find(&self, selector: &str) -> Element {
        let found = self.client.find(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    /// Ends the session.
    pub(crate) async fn close(self) {
        let _ = self.client.close().await;
        drop(self.driver);
    }
}
