//! Splits SQL text into statements. Strings, quoted names and comments are recognised, so that a semicolon or a keyword within
//! them does not count.

/// SQL dialect, as far as the lexer is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// With `E'…'` and `$$…$$` strings, and nested comments.
    Postgres,
    /// With names in backticks and brackets.
    Sqlite,
}

/// A statement of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'s> {
    /// Without the semicolon and surrounding space.
    pub text: &'s str,
    /// Words outside of strings, quoted names and comments, in upper case.
    pub words: Vec<String>,
}

impl Statement<'_> {
    /// First word, such as `SELECT`; empty if the statement begins with something else.
    pub fn keyword(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Returns true if the word occurs in the statement. `word` is in upper case.
    pub fn mentions(&self, word: &str) -> bool {
        self.words.iter().any(|found| found == word)
    }
}

/// Splits a text at its semicolons. Statements that are empty or only comments are left out.
pub fn statements(sql: &str, dialect: Dialect) -> Vec<Statement<'_>> {
    let mut statements = Vec::new();
    let (mut start, mut at) = (0, 0);
    let (mut words, mut is_empty) = (Vec::new(), true);
    while at < sql.len() {
        let rest = &sql[at..];
        let token = token(rest, dialect);
        match token {
            Token::End => {
                if !is_empty {
                    statements.push(Statement { text: sql[start..at].trim(), words: std::mem::take(&mut words) });
                }
                (start, is_empty) = (at + 1, true);
            }
            Token::Word(length) => {
                words.push(rest[..length].to_uppercase());
                is_empty = false;
            }
            Token::Blank(_) => {}
            Token::Other(_) => is_empty = false,
        }
        at += token.length();
    }
    if !is_empty {
        statements.push(Statement { text: sql[start..].trim(), words });
    }
    statements
}

/// Token with its length in bytes.
#[derive(Clone, Copy)]
enum Token {
    /// A semicolon.
    End,
    /// A keyword or a name.
    Word(usize),
    /// Space or a comment.
    Blank(usize),
    /// A string, a quoted name, a number or an operator.
    Other(usize),
}

impl Token {
    fn length(self) -> usize {
        match self {
            Self::End => 1,
            Self::Word(length) | Self::Blank(length) | Self::Other(length) => length,
        }
    }
}

fn token(rest: &str, dialect: Dialect) -> Token {
    let first = rest.chars().next().unwrap_or(' ');
    if first == ';' {
        return Token::End;
    }
    if first.is_whitespace() {
        return Token::Blank(first.len_utf8());
    }
    if rest.starts_with("--") {
        return Token::Blank(rest.find('\n').map_or(rest.len(), |end| end + 1));
    }
    if rest.starts_with("/*") {
        return Token::Blank(comment(rest, dialect));
    }
    if first == '\'' || first == '"' {
        return Token::Other(quoted(rest, first, false));
    }
    match dialect {
        Dialect::Postgres => {
            if matches!(first, 'e' | 'E') && rest[1..].starts_with('\'') {
                return Token::Other(1 + quoted(&rest[1..], '\'', true));
            }
            if first == '$'
                && let Some(length) = dollar_quoted(rest)
            {
                return Token::Other(length);
            }
        }
        Dialect::Sqlite if first == '`' => return Token::Other(quoted(rest, '`', false)),
        Dialect::Sqlite if first == '[' => return Token::Other(rest.find(']').map_or(rest.len(), |end| end + 1)),
        Dialect::Sqlite => {}
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    if is_word(first) {
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        return if first.is_numeric() || first == '$' { Token::Other(length) } else { Token::Word(length) };
    }
    Token::Other(first.len_utf8())
}

/// Length of a comment. An unfinished one extends to the end.
fn comment(rest: &str, dialect: Dialect) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") && (depth == 0 || dialect == Dialect::Postgres) {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Length of a text in quotes. A doubled quote is part of the text, and with `escapes` one after a backslash too.
fn quoted(rest: &str, quote: char, escapes: bool) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    rest.len()
}

/// Length of a text between equal tags such as `$$` or `$body$`. `None` if this is not a tag.
fn dollar_quoted(rest: &str) -> Option<usize> {
    let name = &rest[1..=rest[1..].find('$')?];
    let is_name =
        !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !is_name {
        return None;
    }
    let tag = &rest[..name.len() + 2];
    Some(rest[tag.len()..].find(tag).map_or(rest.len(), |end| end + 2 * tag.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(sql: &str, dialect: Dialect) -> Vec<&str> {
        statements(sql, dialect).into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn statements_end_at_semicolons() {
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            assert_eq!(texts("select 1; select 2 ;; ", dialect), ["select 1", "select 2"]);
            assert_eq!(texts("  ; -- nothing;\n /* ; */ ", dialect), [""; 0]);
            assert_eq!(texts("select ';', \"a;b\", 'it''s;' -- ;\n;", dialect), ["select ';', \"a;b\", 'it''s;' -- ;"]);
            assert_eq!(texts("select 1 /* ; */ + 1", dialect).len(), 1);
            assert_eq!(texts("select 'unfinished; ", dialect).len(), 1);
        }
    }

    #[test]
    fn each_dialect_has_its_own_quotes() {
        let count = |sql: &str| [Dialect::Postgres, Dialect::Sqlite].map(|dialect| statements(sql, dialect).len());
        assert_eq!(count(r"select e'\'; drop table users; --'"), [1, 2]);
        assert_eq!(count("select $$a;b$$, $x$;$$;$x$"), [1, 4]);
        assert_eq!(count("/* /* */ ; select 1 */"), [0, 1]);
        assert_eq!(count("select [a;b], `c;d`"), [3, 1]);
        assert_eq!(count("select $1; select $2"), [2, 2]);
    }

    #[test]
    fn the_first_word_is_the_keyword() {
        let keyword = |sql: &str| statements(sql, Dialect::Sqlite).first().map(|first| first.keyword().to_owned());
        assert_eq!(keyword("/* x */ aTtach database 'x' as y").as_deref(), Some("ATTACH"));
        assert_eq!(keyword("with x as (select 1) select * from x").as_deref(), Some("WITH"));
        assert_eq!(keyword("'text'").as_deref(), Some(""));
        let calls = statements("select pg_terminate_backend(1), 'pg_sleep'", Dialect::Postgres);
        assert!(calls[0].mentions("PG_TERMINATE_BACKEND") && !calls[0].mentions("PG_SLEEP"));
    }

    proptest! {
        #[test]
        fn any_text_is_split(sql in "[a-z'\"$;*/ \\\\\\-\n\\[\\]`é]{0,40}") {
            for dialect in [Dialect::Postgres, Dialect::Sqlite] {
                let statements = statements(&sql, dialect);
                prop_assert!(statements.iter().all(|statement| !statement.text.is_empty() && sql.contains(statement.text)));
            }
        }
    }
}
