use super::*;

async fn lines(chunks: &[&str]) -> Vec<String> {
    lines_of_bytes(&chunks.iter().map(|chunk| chunk.as_bytes()).collect::<Vec<_>>()).await
}

async fn lines_of_bytes(chunks: &[&[u8]]) -> Vec<String> {
    let chunks: Vec<Result<Vec<u8>, HttpError>> = chunks.iter().map(|chunk| Ok(chunk.to_vec())).collect();
    split_lines(stream::iter(chunks)).map(|line| line.expect("input has no errors")).collect().await
}

#[tokio::test]
async fn lines_are_assembled_across_chunks() {
    assert_eq!(lines(&["a\nb", "c\r\n\nd", "", "e"]).await, ["a", "bc", "", "de"]);
    assert_eq!(lines_of_bytes(&[b"\xc3", b"\xa4\n", b"\xff"]).await, ["ä", "\u{fffd}"]);
    assert!(lines(&[]).await.is_empty());
    let long = "x".repeat(MAX_LINE);
    assert_eq!(lines(&[&long, "y\n"]).await, [long.as_str(), "y"]);
}

#[tokio::test]
async fn errors_follow_the_lines_received_before_them() {
    let chunks = [Ok("a\nb".to_owned()), Err(HttpError::timeout())];
    let lines: Vec<_> = split_lines(stream::iter(chunks)).collect().await;
    assert_eq!(lines, [Ok("a".to_owned()), Err(HttpError::timeout())]);
}

#[tokio::test]
async fn invalid_requests_give_a_reason_without_header_values() {
    let http = Http::new();
    let get = Request::get("http://127.0.0.1:1/");
    for (request, detail) in [
        (Request::get("https://127.0.0.1/"), "only http addresses are supported"),
        (Request::get("nonsense"), "relative URL without a base"),
        (Request::new("GE T", "http://127.0.0.1/"), "\"GE T\" is not a method"),
        (get.header("x-key", "secret\n"), "the header \"x-key\" cannot be sent"),
    ] {
        assert_eq!(http.request(&request).await, Err(HttpError::Invalid { detail: detail.to_owned() }));
    }
}
