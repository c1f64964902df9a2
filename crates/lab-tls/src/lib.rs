//! TLS 1.3 between lab's own processes on different machines. A server proves its identity with a raw public key (RFC 7250) that
//! its clients know beforehand. There are no certificates: no names, no validity, no authorities.

#![warn(missing_docs)]

use std::fmt;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

mod pin;

use pin::Pin;
pub use tokio_rustls::TlsAcceptor as Acceptor;

/// Encrypted connection of a client.
pub type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

/// Name that TLS requires and that nothing here depends on.
const SERVER_NAME: &str = "lab";

/// Private key of a server, with its public key: an Ed25519 key pair. Serialised as the Base64 of its PKCS #8 document.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerKey(Vec<u8>);

/// Public key by which clients know a server. Serialised as the Base64 of its `SubjectPublicKeyInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(Vec<u8>);

/// Reason why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system has no random numbers.
    #[error("cannot generate a key: the system has no random numbers")]
    Random,
    /// The text is not Base64.
    #[error("the key is not Base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// The bytes are not a key of a supported kind.
    #[error("invalid key: {0}")]
    Invalid(#[from] rustls::Error),
    /// The key pair does not contain its public key.
    #[error("the key has no public key")]
    NoPublicKey,
}

impl ServerKey {
    /// Generates a key pair.
    pub fn generate() -> Result<Self, KeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        Ok(Self(document.as_ref().to_vec()))
    }

    /// Public key of the pair.
    pub fn public(&self) -> Result<PublicKey, KeyError> {
        let pair = self.signing_key()?;
        let key = pair.public_key().ok_or(KeyError::NoPublicKey)?;
        Ok(PublicKey(key.to_vec()))
    }

    /// Acceptor of connections to a server with this key.
    pub fn acceptor(&self) -> Result<Acceptor, KeyError> {
        let PublicKey(public) = self.public()?;
        let key = Arc::new(CertifiedKey::new(vec![CertificateDer::from(public)], self.signing_key()?));
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
        Ok(Acceptor::from(Arc::new(config)))
    }

    fn signing_key(&self) -> Result<Arc<dyn SigningKey>, KeyError> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.0.clone()));
        Ok(provider().key_provider.load_private_key(key)?)
    }
}

impl PublicKey {
    /// Encrypts a connection to the server that has this key. Fails if the server has another one.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<ClientStream> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pin::new(self.0.clone(), provider())))
            .with_no_client_auth();
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

/// Does not show the key.
impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKey")
    }
}

impl TryFrom<String> for ServerKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        let key = Self(STANDARD.decode(text)?);
        key.signing_key()?;
        Ok(key)
    }
}

impl From<ServerKey> for String {
    fn from(key: ServerKey) -> Self {
        STANDARD.encode(key.0)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        Ok(Self(STANDARD.decode(text)?))
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        STANDARD.encode(key.0)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests;
