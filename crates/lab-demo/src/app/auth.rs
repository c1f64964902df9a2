//! Authentication of the app. Callers send a key in `X-API-Key`, which may expire and may be limited to scopes. If configured,
//! the gateway must also authenticate with a client id and secret.

use std::time::SystemTime;

use hyper::HeaderMap;
use hyper::header::HeaderName;

use super::secret::{Presented, Secret};

/// The caller's key.
const KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The gateway's credentials.
const CLIENT_ID: HeaderName = HeaderName::from_static("x-client-id");
const CLIENT_SECRET: HeaderName = HeaderName::from_static("x-client-secret");

/// Key that a request used: the label `key` of `app_auth_key_uses_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyName {
    /// The key that callers should use.
    Current,
    /// The key before it, accepted during a rotation.
    Previous,
}

/// Reason why a request is rejected: the label `reason` of `app_auth_rejections_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// No key was sent.
    Missing,
    /// A wrong key, or several keys, were sent.
    Invalid,
    /// The key has expired.
    Expired,
    /// The key lacks the required scope.
    Scope,
    /// The gateway's credentials are missing or wrong.
    Client,
}

impl KeyName {
    pub(super) const ALL: [Self; 2] = [Self::Current, Self::Previous];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
        }
    }
}

impl Rejection {
    pub(super) const ALL: [Self; 5] = [Self::Missing, Self::Invalid, Self::Expired, Self::Scope, Self::Client];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Scope => "scope",
            Self::Client => "client",
        }
    }
}

pub(super) struct Key {
    pub(super) secret: Secret,
    /// `None` means that the key never expires.
    pub(super) expires: Option<SystemTime>,
}

/// Expected credentials of the gateway.
pub(super) struct Client {
    /// Value of `X-Client-Id`.
    pub(super) id: Secret,
    /// Value of `X-Client-Secret`.
    pub(super) secret: Secret,
}

/// Accepted credentials and their permissions.
pub(super) struct Auth {
    /// The key that callers should use.
    pub(super) current: Key,
    /// The key before it, during a rotation.
    pub(super) previous: Option<Key>,
    /// Scopes of both keys. `None` means all scopes.
    pub(super) scopes: Option<Vec<String>>,
    /// Credentials that the gateway must send. `None` means that none are required.
    pub(super) client: Option<Client>,
}

impl Auth {
    /// Authenticates a request that needs `scope`. Returns the key that it used.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        scope: Option<&str>,
        now: SystemTime,
    ) -> Result<KeyName, Rejection> {
        if let Some(client) = &self.client {
            let id = Presented::from_header(headers, &CLIENT_ID).matches(&client.id);
            let secret = Presented::from_header(headers, &CLIENT_SECRET).matches(&client.secret);
            if !(id & secret) {
                return Err(Rejection::Client);
            }
        }
        let key = self.key(&Presented::from_header(headers, &KEY), now)?;
        let is_granted =
            |scope| self.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|granted| granted == scope));
        if scope.is_none_or(is_granted) { Ok(key) } else { Err(Rejection::Scope) }
    }

    /// Expiry times of the keys that expire.
    pub(super) fn expiries(&self) -> impl Iterator<Item = (KeyName, SystemTime)> {
        self.keys().into_iter().flatten().filter_map(|(name, key)| Some((name, key.expires?)))
    }

    fn keys(&self) -> [Option<(KeyName, &Key)>; 2] {
        [Some((KeyName::Current, &self.current)), self.previous.as_ref().map(|key| (KeyName::Previous, key))]
    }

    fn key(&self, presented: &Presented<'_>, now: SystemTime) -> Result<KeyName, Rejection> {
        if matches!(presented, Presented::Missing) {
            return Err(Rejection::Missing);
        }
        // Compare with both keys in any case, so that the timing does not reveal which one matched.
        let matching = self.keys().map(|key| key.filter(|(_, key)| presented.matches(&key.secret)));
        let mut matching = matching.into_iter().flatten().peekable();
        let otherwise = if matching.peek().is_some() { Rejection::Expired } else { Rejection::Invalid };
        let unexpired = matching.find(|(_, key)| key.expires.is_none_or(|end| now < end));
        unexpired.map(|(name, _)| name).ok_or(otherwise)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use hyper::HeaderMap;
    use hyper::header::{HeaderName, HeaderValue};

    use super::{Auth, CLIENT_ID, CLIENT_SECRET, Client, KEY, Key, KeyName, Rejection, Secret};

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn key(text: &str, expires: Option<u64>) -> Key {
        let secret = Secret::parse(text).unwrap();
        Key { secret, expires: expires.map(|seconds| NOW + Duration::from_secs(seconds)) }
    }

    fn auth() -> Auth {
        Auth { current: key("apikey-v1", None), previous: None, scopes: None, client: None }
    }

    fn headers(given: &[(HeaderName, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn check(auth: &Auth, keys: &[&[u8]], seconds: u64) -> Result<KeyName, Rejection> {
        let keys: Vec<_> = keys.iter().map(|key| (KEY, *key)).collect();
        auth.check(&headers(&keys), Some("users:read"), NOW + Duration::from_secs(seconds))
    }

    #[test]
    fn only_the_key_is_accepted() {
        assert_eq!(check(&auth(), &[b"apikey-v1"], 0), Ok(KeyName::Current));
        assert_eq!(check(&auth(), &[], 0), Err(Rejection::Missing));
        assert_eq!(check(&auth(), &[b""], 0), Err(Rejection::Missing));
        let others: [&[u8]; 6] = [b"apikey-v2", b"apikey-v", b"apikey-v10", b"APIKEY-V1", b"\xff", &[b'a'; 4000]];
        for other in others {
            assert_eq!(check(&auth(), &[other], 0), Err(Rejection::Invalid));
        }
    }

    #[test]
    fn several_keys_are_rejected() {
        assert_eq!(check(&auth(), &[b"apikey-v1", b"apikey-v1"], 0), Err(Rejection::Invalid));
        assert_eq!(check(&auth(), &[b"apikey-v2", b"apikey-v1"], 0), Err(Rejection::Invalid));
    }

    #[test]
    fn both_keys_are_accepted_during_a_rotation() {
        let auth = Auth { current: key("v2", None), previous: Some(key("v1", Some(10))), ..auth() };
        assert_eq!(check(&auth, &[b"v2"], 0), Ok(KeyName::Current));
        assert_eq!(check(&auth, &[b"v1"], 9), Ok(KeyName::Previous));
        assert_eq!(check(&auth, &[b"v1"], 10), Err(Rejection::Expired));
        assert_eq!(check(&auth, &[b"v2"], 10), Ok(KeyName::Current));
        assert_eq!(check(&auth, &[b"v0"], 0), Err(Rejection::Invalid));
    }

    #[test]
    fn the_later_expiry_applies_if_both_keys_are_equal() {
        let auth = Auth { current: key("v1", Some(1)), previous: Some(key("v1", None)), ..auth() };
        assert_eq!(check(&auth, &[b"v1"], 0), Ok(KeyName::Current));
        assert_eq!(check(&auth, &[b"v1"], 1), Ok(KeyName::Previous));
        assert_eq!(auth.expiries().collect::<Vec<_>>(), [(KeyName::Current, NOW + Duration::from_secs(1))]);
    }

    #[test]
    fn a_valid_key_also_needs_the_scope() {
        let auth = Auth { scopes: Some(vec!["reports:read".to_owned()]), ..auth() };
        assert_eq!(check(&auth, &[b"apikey-v1"], 0), Err(Rejection::Scope));
        assert_eq!(check(&auth, &[b"apikey-v2"], 0), Err(Rejection::Invalid));
        let headers = headers(&[(KEY, b"apikey-v1")]);
        assert_eq!(auth.check(&headers, Some("reports:read"), NOW), Ok(KeyName::Current));
        assert_eq!(auth.check(&headers, None, NOW), Ok(KeyName::Current));
    }

    #[test]
    fn gateway_credentials_are_checked_before_the_key() {
        let client = Client { id: Secret::parse("gateway").unwrap(), secret: Secret::parse("s1").unwrap() };
        let auth = Auth { client: Some(client), ..auth() };
        let check = |given: &[(HeaderName, &[u8])]| auth.check(&headers(given), None, NOW);
        let key = (KEY, &b"apikey-v1"[..]);
        assert_eq!(check(&[(CLIENT_ID, b"gateway"), (CLIENT_SECRET, b"s1"), key.clone()]), Ok(KeyName::Current));
        assert_eq!(check(&[(CLIENT_ID, b"gateway"), (CLIENT_SECRET, b"s1")]), Err(Rejection::Missing));
        let wrong: [&[(HeaderName, &[u8])]; 5] = [
            std::slice::from_ref(&key),
            &[(CLIENT_ID, b"gateway"), key.clone()],
            &[(CLIENT_ID, b"gateway"), (CLIENT_SECRET, b"s2"), key.clone()],
            &[(CLIENT_ID, b"other"), (CLIENT_SECRET, b"s1"), key.clone()],
            &[(CLIENT_ID, b"gateway"), (CLIENT_SECRET, b"s1"), (CLIENT_SECRET, b"s1"), key.clone()],
        ];
        for given in wrong {
            assert_eq!(check(given), Err(Rejection::Client), "{given:?}");
        }
    }
}
