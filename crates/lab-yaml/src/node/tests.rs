use std::sync::Arc;

use super::{Node, NodeKind, parse};
use crate::{Diagnostic, SourceFile};

fn file(text: &str) -> Arc<SourceFile> {
    SourceFile::new("a.yaml", text)
}

#[track_caller]
fn tree(text: &str) -> Node {
    parse(&file(text)).unwrap_or_else(|error| panic!("{}", error.render(false)))
}

#[track_caller]
fn error(text: &str) -> Diagnostic {
    parse(&file(text)).expect_err("it should be refused")
}

/// The tree on one line, each scalar with its place: `{a@1:1-1:2: b@1:4-1:5}`.
fn outline(node: &Node) -> String {
    let place =
        |place: &crate::Place| format!("{}:{}-{}:{}", place.line(), place.column(), place.end().0, place.end().1);
    match &node.kind {
        NodeKind::Null => format!("null@{}", place(&node.place)),
        NodeKind::Scalar(text) => format!("{text:?}@{}", place(&node.place)),
        NodeKind::List(items) => format!("[{}]", items.iter().map(outline).collect::<Vec<_>>().join(", ")),
        NodeKind::Mapping(entries) => {
            let entry = |entry: &super::Entry| {
                format!("{:?}@{}: {}", entry.key.text, place(&entry.key.place), outline(&entry.value))
            };
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn every_scalar_has_its_span() {
    assert_eq!(outline(&tree("a: b c # d\n")), r#"{"a"@1:1-1:2: "b c"@1:4-1:7}"#);
    assert_eq!(
        outline(&tree("a: \"b\"   # d\n'c' : 'd''e'\n")),
        r#"{"a"@1:1-1:2: "b"@1:4-1:7, "c"@2:1-2:4: "d'e"@2:7-2:13}"#
    );
    assert_eq!(outline(&tree("- [x, {y: 1}]\n")), r#"[["x"@1:4-1:5, {"y"@1:8-1:9: "1"@1:11-1:12}]]"#);
    assert_eq!(
        outline(&tree("a: one\n  two\nb: 1\n")),
        r#"{"a"@1:1-1:2: "one two"@1:4-2:6, "b"@3:1-3:2: "1"@3:4-3:5}"#
    );
    assert_eq!(
        outline(&tree("a: |\n  one\n  two\n\nb: 1\n")),
        r#"{"a"@1:1-1:2: "one\ntwo\n"@2:3-3:6, "b"@5:1-5:2: "1"@5:4-5:5}"#
    );
}

#[test]
fn columns_count_characters_and_spans_count_bytes() {
    let root = tree("é: [日本, \"ü\", 1]\r\nb: 2\r\n");
    assert_eq!(
        outline(&root),
        r#"{"é"@1:1-1:2: ["日本"@1:5-1:7, "ü"@1:9-1:12, "1"@1:14-1:15], "b"@2:1-2:2: "2"@2:4-2:5}"#
    );
    let NodeKind::Mapping(entries) = &root.kind else { panic!("{root:?}") };
    assert_eq!(entries[1].value.place.span(), 26..27);
}

#[test]
fn a_null_is_empty_or_written() {
    let text = "a:\nb: ~\nc: null\nd: 'null'\ne: \"\"\nf: {g, h: }\ni:\n  -\n  - ~\n";
    assert_eq!(
        outline(&tree(text)),
        "{\"a\"@1:1-1:2: null@1:3-1:3, \"b\"@2:1-2:2: null@2:4-2:5, \"c\"@3:1-3:2: null@3:4-3:8, \
         \"d\"@4:1-4:2: \"null\"@4:4-4:10, \"e\"@5:1-5:2: \"\"@5:4-5:6, \
         \"f\"@6:1-6:2: {\"g\"@6:5-6:6: null@6:6-6:6, \"h\"@6:8-6:9: null@6:10-6:10}, \
         \"i\"@7:1-7:2: [null@8:4-8:4, null@9:5-9:6]}"
    );
    assert!(matches!(tree("").kind, NodeKind::Null));
    assert!(matches!(tree("# nothing\n").kind, NodeKind::Null));
    assert!(matches!(tree("---\n").kind, NodeKind::Null));
}

#[test]
fn scalars_keep_their_text_and_duplicate_keys_stay() {
    let text = "a: yes\nb: 0o17\nc: 017\nd: 1e3\ne: .nan\nf: TRUE\ng: 2026-11-30\na: no\n<<: x\n";
    let NodeKind::Mapping(entries) = tree(text).kind else { panic!("a mapping") };
    let texts: Vec<(&str, String)> = entries
        .iter()
        .map(|entry| match &entry.value.kind {
            NodeKind::Scalar(text) => (entry.key.text.as_str(), text.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        ("a", "yes"),
        ("b", "0o17"),
        ("c", "017"),
        ("d", "1e3"),
        ("e", ".nan"),
        ("f", "TRUE"),
        ("g", "2026-11-30"),
        ("a", "no"),
        ("<<", "x"),
    ];
    assert_eq!(texts, expected.map(|(key, text)| (key, text.to_owned())));
}

#[test]
fn an_alias_is_the_value_of_its_anchor() {
    let text = "a: &x [1, {b: 2}]\nc: *x\n&k d: *k\n";
    assert_eq!(
        outline(&tree(text)),
        "{\"a\"@1:1-1:2: [\"1\"@1:8-1:9, {\"b\"@1:12-1:13: \"2\"@1:15-1:16}], \
         \"c\"@2:1-2:2: [\"1\"@1:8-1:9, {\"b\"@1:12-1:13: \"2\"@1:15-1:16}], \
         \"d\"@3:4-3:5: \"d\"@3:4-3:5}"
    );
    assert_eq!(error("a: &x [*x]\n").message, "an alias (`*name`) is part of its own value");
    let nested =
        error(&format!("a: &x {}1{}\nb: {}*x{}\n", "[".repeat(8), "]".repeat(8), "[".repeat(8), "]".repeat(8)));
    assert_eq!((nested.message.as_str(), nested.line()), ("the file is nested too deeply", Some(2)));
}

#[test]
fn limits_name_the_value_that_exceeds_them() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    assert!(parse(&file(&nested(16))).is_ok());
    for levels in [17, 100, 254, 255, 300, 100_000] {
        let found = error(&nested(levels));
        assert_eq!((found.message.as_str(), found.column()), ("the file is nested too deeply", Some(18)), "{levels}");
        assert_eq!(error(&"- ".repeat(levels)).message, "the file is nested too deeply", "{levels}");
        assert_eq!(error(&"? ".repeat(levels)).message, "the file is nested too deeply", "{levels}");
    }
    let long = error(&format!("{}: 1\n", "k".repeat(300)));
    assert_eq!((long.message.as_str(), long.label.as_str()), ("a key is too long", "the limit is 256 bytes"));
    let many = error(&format!("[{}]", "1,".repeat(50_001)));
    assert!(many.message.contains("too large"), "{many:?}");
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a,".repeat(25));
    assert_eq!(error(&text).line(), Some(2));
    assert_eq!(error("? [a]\n: b\n").message, "a mapping or a list cannot be a key");
    for tag in ["a: !x 1\n", "a: !x\n  b: 1\n", "a: !x [1]\n", "a: ! 1\n", "a: !<!x> 1\n"] {
        let found = error(tag);
        assert_eq!(found.message, "a value starts with `!`, which is a tag in YAML", "{tag}");
        assert_eq!((found.line(), found.column()), (Some(1), Some(4)), "{tag}");
    }
    assert_eq!(outline(&tree("a: !!str 1\n")), r#"{"a"@1:1-1:2: "1"@1:10-1:11}"#);
}

/// Common mistakes, each with its message and place.
#[test]
fn mistakes_are_explained_where_they_are() {
    let cases = [
        ("a: 'b\nc: d\n", "a quote is not closed", 1, 4),
        ("a: \"b\nc: \"d\"\n", "a quote is not closed", 1, 4),
        ("- { a: 'b, c: 1 }\n- d\n", "a quote is not closed", 1, 8),
        ("a: 'b' c\n", "there is text after a closing quote", 1, 8),
        ("a: \"\\d+\"\n", "`\\d` is not an escape sequence", 1, 5),
        ("a: { b: 1\nc: 2\n", "`{` is not closed", 1, 4),
        ("a: [b, c\nd: 2\n", "`[` is not closed", 1, 4),
        ("a: { b: 1 c: 2 }\n", "a `,` is missing before this", 1, 12),
        ("a: [b, c}\n", "`}` does not match `[`", 1, 9),
        ("a: b]\n]\n", "`]` has no matching `[`", 2, 1),
        ("a: [\n  - b\n]\n", "`- ` cannot be used within `[ ]`", 2, 3),
        ("a: b: c\n", "a value contains `: `", 1, 5),
        ("a:\n\tb: c\n", "a line is indented with a tab", 2, 1),
        ("a: 1\nb\nc: 2\n", "a line has no `: `", 2, 1),
        ("a: { b: c: d }\n", "a value contains `: `", 1, 10),
        ("a: 1\n  b: 2\nc: 3\n", "a line continues the value of the line above", 2, 3),
        ("a:\n  - b: 1\n - c: 2\n", "the indentation matches no line above", 3, 2),
        ("a:\n  - b\n  c: 1\n", "expected `- `", 3, 3),
        ("a: *b\n", "unknown alias `*b`", 1, 4),
        ("a: \u{7}\n", "it contains a control character", 1, 4),
        ("a: 1\n\0b: 2\n", "it contains a control character", 2, 1),
    ];
    let mut wrong = Vec::new();
    for (text, message, line, column) in cases {
        let (message, place) = (format!("this is not YAML: {message}"), (Some(line), Some(column)));
        match parse(&file(text)) {
            Err(found) if found.message == message && (found.line(), found.column()) == place => {}
            Err(found) => wrong.push(format!("{text:?}: expected {message} at {place:?}\n{}", found.render(false))),
            Ok(node) => wrong.push(format!("{text:?}: read as {}", outline(&node))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
