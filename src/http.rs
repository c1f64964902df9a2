//! The one HTTP client for scrapes, probes and control calls (stand-in until the real one is merged).
use std::time::Duration;

/// Client.
#[derive(Clone, Debug)]
pub struct Http { client: reqwest::Client }

/// Response.
#[derive(Clone, Debug)]
pub struct HttpResponse { /// code
    pub status: u16, /// body
    pub body: String }

/// Error.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct HttpError { /// words
    pub detail: String }

impl Http {
    /// New.
    pub fn new() -> Result<Self, HttpError> {
        Ok(Self { client: reqwest::Client::builder().no_proxy().build().map_err(|e| HttpError { detail: e.to_string() })? })
    }
    /// Request.
    pub async fn request(&self, method: &str, url: &str, bearer: Option<&str>, body: Option<&serde_json::Value>, timeout: Duration) -> Result<HttpResponse, HttpError> {
        let err = |e: reqwest::Error| HttpError { detail: e.to_string() };
        let mut r = self.client.request(method.parse().unwrap_or(reqwest::Method::GET), url).timeout(timeout);
        if let Some(b) = bearer { r = r.bearer_auth(b); }
        if let Some(b) = body { r = r.json(b); }
        let r = r.send().await.map_err(err)?;
        Ok(HttpResponse { status: r.status().as_u16(), body: r.text().await.map_err(err)? })
    }
}
