//! [`Auth`]: whose requests are answered. The gateway proves itself by a client's id and secret where that is wanted, the
//! caller by a key in `X-API-Key`; a key may have an end, and scopes that say what it is good for.

use std::time::SystemTime;

use hyper::HeaderMap;
use hyper::header::HeaderName;

use super::secret::{Given, Secret};

/// The header that carries the key.
const KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Those by which the gateway proves itself.
const CLIENT_ID: HeaderName = HeaderName::from_static("x-client-id");
const CLIENT_SECRET: HeaderName = HeaderName::from_static("x-client-secret");

/// Which of the keys a request came with: the label `key` of `app_auth_key_uses_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyName {
    /// The one that callers are to use.
    Current,
    /// The one before it, accepted while a rotation is under way.
    Previous,
}

/// Why a request is turned away: the label `reason` of `app_auth_rejections_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// It has no key.
    Missing,
    /// It has another key, or several.
    Invalid,
    /// Its key was good once.
    Expired,
    /// Its key is good, and not for this.
    Scope,
    /// It does not come from the gateway, or that has the wrong id or secret.
    Client,
}

impl KeyName {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Current, Self::Previous];

    /// As a label.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
        }
    }
}

impl Rejection {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Missing, Self::Invalid, Self::Expired, Self::Scope, Self::Client];

    /// As a label.
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

/// A key that is accepted.
pub(super) struct Key {
    /// The key itself.
    pub(super) secret: Secret,
    /// Until when; for ever where there is no end.
    pub(super) expires: Option<SystemTime>,
}

/// What the gateway proves itself by.
pub(super) struct Client {
    /// In `X-Client-Id`.
    pub(super) id: Secret,
    /// In `X-Client-Secret`.
    pub(super) secret: Secret,
}

/// Who may ask for what.
pub(super) struct Auth {
    /// The key that callers are to use.
    pub(super) current: Key,
    /// The one before it, while a rotation is under way.
    pub(super) previous: Option<Key>,
    /// What the keys are good for; everything where nothing is said.
    pub(super) scopes: Option<Vec<String>>,
    /// Who must pass the requests on; anybody may where nothing is said.
    pub(super) client: Option<Client>,
}

impl Auth {
    /// With which key the request may go on, at this time, to what needs `scope`.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        scope: Option<&str>,
        now: SystemTime,
    ) -> Result<KeyName, Rejection> {
        if let Some(client) = &self.client {
            let id = Given::of(headers, &CLIENT_ID).is(&client.id);
            let secret = Given::of(headers, &CLIENT_SECRET).is(&client.secret);
            if !(id & secret) {
                return Err(Rejection::Client);
            }
        }
        let key = self.key(&Given::of(headers, &KEY), now)?;
        let good_for = |scope| self.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|known| known == scope));
        if scope.is_none_or(good_for) { Ok(key) } else { Err(Rejection::Scope) }
    }

    /// The keys with an end, and when that is.
    pub(super) fn ends(&self) -> impl Iterator<Item = (KeyName, SystemTime)> {
        self.keys().into_iter().flatten().filter_map(|(name, key)| Some((name, key.expires?)))
    }

    fn keys(&self) -> [Option<(KeyName, &Key)>; 2] {
        [Some((KeyName::Current, &self.current)), self.previous.as_ref().map(|key| (KeyName::Previous, key))]
    }

    fn key(&self, given: &Given<'_>, now: SystemTime) -> Result<KeyName, Rejection> {
        if matches!(given, Given::Nothing) {
            return Err(Rejection::Missing);
        }
        // Both are looked at whichever it is: the time does not tell which.
        let same = self.keys().map(|key| key.filter(|(_, key)| given.is(&key.secret)));
        let mut same = same.into_iter().flatten().peekable();
        let otherwise = if same.peek().is_some() { Rejection::Expired } else { Rejection::Invalid };
        let lasting = same.find(|(_, key)| key.expires.is_none_or(|end| now < end));
        lasting.map(|(name, _)| name).ok_or(otherwise)
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
    fn the_key_alone_is_accepted() {
        assert_eq!(check(&auth(), &[b"apikey-v1"], 0), Ok(KeyName::Current));
        assert_eq!(check(&auth(), &[], 0), Err(Rejection::Missing));
        assert_eq!(check(&auth(), &[b""], 0), Err(Rejection::Missing));
        let others: [&[u8]; 6] = [b"apikey-v2", b"apikey-v", b"apikey-v10", b"APIKEY-V1", b"\xff", &[b'a'; 4000]];
        for other in others {
            assert_eq!(check(&auth(), &[other], 0), Err(Rejection::Invalid));
        }
    }

    #[test]
    fn several_keys_are_none() {
        assert_eq!(check(&auth(), &[b"apikey-v1", b"apikey-v1"], 0), Err(Rejection::Invalid));
        assert_eq!(check(&auth(), &[b"apikey-v2", b"apikey-v1"], 0), Err(Rejection::Invalid));
    }

    #[test]
    fn while_keys_are_rotated_both_are_accepted() {
        let auth = Auth { current: key("v2", None), previous: Some(key("v1", Some(10))), ..auth() };
        assert_eq!(check(&auth, &[b"v2"], 0), Ok(KeyName::Current));
        assert_eq!(check(&auth, &[b"v1"], 9), Ok(KeyName::Previous));
        assert_eq!(check(&auth, &[b"v1"], 10), Err(Rejection::Expired));
        assert_eq!(check(&auth, &[b"v2"], 10), Ok(KeyName::Current));
        assert_eq!(check(&auth, &[b"v0"], 0), Err(Rejection::Invalid));
    }

    #[test]
    fn of_a_key_that_is_there_twice_the_longer_life_counts() {
        let auth = Auth { current: key("v1", Some(1)), previous: Some(key("v1", None)), ..auth() };
        assert_eq!(check(&auth, &[b"v1"], 0), Ok(KeyName::Current));
        assert_eq!(check(&auth, &[b"v1"], 1), Ok(KeyName::Previous));
        assert_eq!(auth.ends().collect::<Vec<_>>(), [(KeyName::Current, NOW + Duration::from_secs(1))]);
    }

    #[test]
    fn a_scope_is_needed_of_a_key_that_is_good() {
        let auth = Auth { scopes: Some(vec!["reports:read".to_owned()]), ..auth() };
        assert_eq!(check(&auth, &[b"apikey-v1"], 0), Err(Rejection::Scope));
        assert_eq!(check(&auth, &[b"apikey-v2"], 0), Err(Rejection::Invalid));
        let headers = headers(&[(KEY, b"apikey-v1")]);
        assert_eq!(auth.check(&headers, Some("reports:read"), NOW), Ok(KeyName::Current));
        assert_eq!(auth.check(&headers, None, NOW), Ok(KeyName::Current));
    }

    #[test]
    fn the_gateway_is_looked_at_before_the_key() {
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
