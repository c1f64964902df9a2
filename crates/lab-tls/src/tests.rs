use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Serves one connection with a key and greets its client.
async fn greeter(key: &ServerKey) -> std::net::SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = key.acceptor().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(stream).await {
            stream.write_all(b"hello").await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    address
}

async fn greeting(key: &PublicKey, address: std::net::SocketAddr) -> io::Result<String> {
    let mut stream = key.connect(TcpStream::connect(address).await?).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

#[tokio::test]
async fn a_client_talks_only_to_the_server_with_the_known_key() {
    let (own, other) = (ServerKey::generate().unwrap(), ServerKey::generate().unwrap());
    let expected = own.public().unwrap();
    assert_eq!(greeting(&expected, greeter(&own).await).await.unwrap(), "hello");
    let error = greeting(&expected, greeter(&other).await).await.unwrap_err();
    assert!(error.to_string().contains("another key than expected"), "{error}");
}

#[test]
fn keys_survive_their_text_and_are_not_shown() {
    let key = ServerKey::generate().unwrap();
    let text = serde_json::to_string(&key).unwrap();
    assert_eq!(serde_json::from_str::<ServerKey>(&text).unwrap(), key);
    let public = serde_json::to_string(&key.public().unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<PublicKey>(&public).unwrap(), key.public().unwrap());
    assert_eq!(format!("{key:?}"), "ServerKey");
    assert!(serde_json::from_str::<ServerKey>("\"AAAA\"").unwrap_err().to_string().contains("invalid key"));
    assert!(serde_json::from_str::<ServerKey>("\"no key\"").is_err());
}
