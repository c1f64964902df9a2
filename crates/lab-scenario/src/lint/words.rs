//! Compares texts word by word, regardless of case, endings and small words.

/// Words that are ignored in both texts.
const SMALL: [&str; 17] =
    ["a", "an", "and", "are", "does", "do", "for", "has", "have", "is", "its", "of", "or", "the", "too", "was", "what"];
/// Words for a credential.
const CREDENTIALS: [&str; 5] = ["credential", "key", "password", "secret", "token"];

/// Returns true if `text` contains the words of `phrase` in this order, with only small words in between. Text in
/// backticks and in quotation marks does not count: it quotes a command or a message.
pub(super) fn contains(text: &str, phrase: &str) -> bool {
    let (text, phrase) = (stems(&unquoted(text)), stems(phrase));
    !phrase.is_empty() && text.windows(phrase.len()).any(|window| window == phrase)
}

/// The text without its quoted parts.
fn unquoted(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(['`', '"']) {
        let mark = if rest[start..].starts_with('`') { '`' } else { '"' };
        let Some(length) = rest[start + 1..].find(mark) else { break };
        kept.push_str(&rest[..start]);
        // A word that no phrase contains, so that the words around it are not neighbours.
        kept.push_str(" … ");
        rest = &rest[start + 1 + length + 1..];
    }
    kept + rest
}

fn stems(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '…').filter(|word| !word.is_empty());
    words.map(str::to_lowercase).filter(|word| !SMALL.contains(&word.as_str())).map(|word| stem(&word)).collect()
}

/// Cuts the ending off a word: `expired`, `expires` and `expiry` become the same.
fn stem(word: &str) -> String {
    let shorter = ["ing", "ed", "es", "s", "y", "e"].iter().find_map(|ending| word.strip_suffix(ending));
    let stem = shorter.filter(|stem| stem.chars().count() >= 3).unwrap_or(word);
    let mut last = stem.chars().rev();
    // `running` is a form of `run`.
    let doubled = word.ends_with("ing") && last.next() == last.next();
    let stem =
        if doubled { stem.split_at(stem.len() - stem.chars().next_back().map_or(0, char::len_utf8)).0 } else { stem };
    if CREDENTIALS.contains(&stem) || CREDENTIALS.contains(&word) { CREDENTIALS[0].to_owned() } else { stem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn endings_and_small_words_make_no_difference() {
        assert!(contains("Your key expires tonight", "has expired"));
        assert!(contains("An expiry date", "has expired"));
        assert!(contains("Is the timeout too short?", "timeout too short"));
        assert!(contains("It is not running.", "does not run"));
        assert!(contains("The keys are out of date.", "credential out of date"));
        assert!(contains("all of our Callers", "caller"));
        assert!(!contains("a database", "credential out of date"));
        assert!(!contains("a timeout after a short wait", "timeout too short"));
        assert!(!contains("an application", "app"));
        assert!(!contains("anything", ""));
    }

    #[test]
    fn quotations_do_not_count() {
        assert!(!contains("It says \"bad gateway\" on every page", "gateway"));
        assert!(!contains("Look at `lab logs gateway`.", "gateway"));
        assert!(contains("`lab logs` of the gateway", "gateway"));
        assert!(contains("5\" is no quotation, gateway", "gateway"));
        assert!(!contains("a timeout `really` short", "timeout too short"));
    }
}
