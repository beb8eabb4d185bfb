//! Texts of a policy that a request is compared with: wildcards, and variables that stand for values of the request.
//! Source: "IAM policy elements: Variables and tags" in the IAM User Guide.

use super::wildcard::{PatternToken, match_tokens};
use super::work::MatchContext;

/// What a text of a policy may contain.
#[derive(Clone, Copy, Debug)]
pub(super) struct PatternSyntax {
    /// `*` and `?` are wildcards.
    pub(super) wildcards: bool,
    /// `${...}` is a variable. In version 2008-10-17 it is text like any other.
    pub(super) variables: bool,
}

/// How letters are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LetterCase {
    Exact,
    Ignored,
}

/// A text of a policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern(Vec<PatternPiece>);

#[derive(Clone, Debug, PartialEq)]
enum PatternPiece {
    Text(String),
    One,
    Run,
    Variable(Box<PolicyVariable>),
}

/// A variable: the key in lower case, and what stands for it if the request has no value.
#[derive(Clone, Debug, PartialEq)]
struct PolicyVariable {
    key: String,
    default: Option<String>,
}

/// A pattern with the values of its variables.
pub(super) enum Expanded {
    Tokens(Vec<PatternToken>),
    /// More characters are needed than the text has.
    TooLong,
    /// A variable has no value.
    NoValue,
}

impl Pattern {
    /// Reads a text; the error says what is wrong with a variable.
    pub(super) fn parse(text: &str, syntax: PatternSyntax) -> Result<Pattern, &'static str> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let (piece, behind) = match c {
                '$' if syntax.variables && rest.starts_with("${") => variable(&rest[2..])?,
                '*' if syntax.wildcards => (PatternPiece::Run, &rest[1..]),
                '?' if syntax.wildcards => (PatternPiece::One, &rest[1..]),
                c => (PatternPiece::Text(c.to_string()), &rest[c.len_utf8()..]),
            };
            rest = behind;
            match (pieces.last_mut(), piece) {
                (Some(PatternPiece::Text(before)), PatternPiece::Text(more)) => before.push_str(&more),
                // A second `*` covers nothing that the first one does not.
                (Some(PatternPiece::Run), PatternPiece::Run) => {}
                (_, piece) => pieces.push(piece),
            }
        }
        Ok(Pattern(pieces))
    }

    /// Whether the whole text matches, which is given as its [`characters`]; `None` if a variable has no value.
    pub(super) fn matches(&self, text: &[char], context: &MatchContext<'_>, case: LetterCase) -> Option<bool> {
        match self.expand(context, case, text.len()) {
            Expanded::Tokens(tokens) => Some(counted_match(&tokens, text, context)),
            Expanded::TooLong => Some(false),
            Expanded::NoValue => None,
        }
    }

    /// Puts in the values of the variables. What a variable brings in is text: a `*` in a user's name is no wildcard. Characters over `most` are not
    /// collected, so a pattern with many long values takes no memory.
    pub(super) fn expand(&self, context: &MatchContext<'_>, case: LetterCase, most: usize) -> Expanded {
        let mut tokens = Vec::new();
        // Characters that a text needs to match; every one of them is a token as long as there are no more than `most`.
        let mut needed = 0;
        context.spend(self.0.len());
        for piece in &self.0 {
            let text = match piece {
                PatternPiece::Run => {
                    tokens.push(PatternToken::Run);
                    continue;
                }
                PatternPiece::One => {
                    needed += 1;
                    tokens.push(PatternToken::One);
                    continue;
                }
                PatternPiece::Text(text) => text,
                PatternPiece::Variable(variable) => {
                    let value = context.variable(&variable.key).or(variable.default.as_deref());
                    let Some(value) = value else { return Expanded::NoValue };
                    value
                }
            };
            // One character more than fits is enough to know that the text is too short.
            let limit = (most + 1).saturating_sub(needed);
            let before = tokens.len();
            tokens.extend(text.chars().flat_map(|c| fold(c, case)).take(limit).map(PatternToken::Character));
            needed += tokens.len() - before;
            context.spend(tokens.len() - before);
        }
        if needed > most { Expanded::TooLong } else { Expanded::Tokens(tokens) }
    }

    /// Whether the text has nothing but wildcards, and at least one.
    pub(super) fn is_all_wildcards(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|piece| matches!(piece, PatternPiece::Run | PatternPiece::One))
    }

    /// Whether the text has no variable, so that it can be checked when the policy is saved.
    pub(super) fn is_constant(&self) -> bool {
        !self.0.iter().any(|piece| matches!(piece, PatternPiece::Variable(_)))
    }
}

/// Compares within the work that is left.
pub(super) fn counted_match(tokens: &[PatternToken], text: &[char], context: &MatchContext<'_>) -> bool {
    let (is_match, comparisons) = match_tokens(tokens, text, context.left());
    context.spend(comparisons);
    is_match
}

/// The characters of a text in the form in which they are compared.
pub(super) fn characters(text: &str, case: LetterCase) -> Vec<char> {
    text.chars().flat_map(|c| fold(c, case)).collect()
}

fn fold(c: char, case: LetterCase) -> impl Iterator<Item = char> {
    let lower = (case == LetterCase::Ignored).then(|| c.to_lowercase());
    let exact = (case == LetterCase::Exact).then_some(c);
    lower.into_iter().flatten().chain(exact)
}

/// Reads a variable behind its `${`; gives the text behind its `}` too. `${*}`, `${?}` and `${$}` are these characters themselves.
fn variable(text: &str) -> Result<(PatternPiece, &str), &'static str> {
    let end = text.find([',', '}']).ok_or("missing brace in variable")?;
    let key = text[..end].trim();
    let rest = &text[end..];
    if key.is_empty() {
        return Err("empty variable");
    }
    if key.contains("${") || key.contains('\'') || key.contains(char::is_whitespace) {
        return Err("unsupported symbol in variable");
    }
    let variable = |default| PatternPiece::Variable(Box::new(PolicyVariable { key: key.to_ascii_lowercase(), default }));
    if let Some(rest) = rest.strip_prefix('}') {
        let piece = if ["*", "?", "$"].contains(&key) { PatternPiece::Text(key.to_owned()) } else { variable(None) };
        return Ok((piece, rest));
    }
    let quoted = rest[1..].trim_start().strip_prefix('\'').ok_or("missing quote in variable")?;
    let (default, behind) = quoted.split_once('\'').ok_or("missing quote in variable")?;
    let behind = behind.trim_start().strip_prefix('}').ok_or("missing brace in variable")?;
    Ok((variable(Some(default.to_owned())), behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::RequestContext;

    fn exactly(pattern: &Pattern, text: &str, keys: &RequestContext) -> Option<bool> {
        pattern.matches(&characters(text, LetterCase::Exact), &MatchContext::new(keys), LetterCase::Exact)
    }

    const FULL: PatternSyntax = PatternSyntax { wildcards: true, variables: true };

    fn matches(pattern: &str, text: &str) -> Option<bool> {
        let mut context = RequestContext::default();
        context.set("aws:username", "a*b");
        context.set("cognito-identity.amazonaws.com:sub", "local:1");
        context.set("aws:PrincipalTag/empty", "");
        context.set_all("aws:TagKeys", ["x".to_owned(), "y".to_owned()]);
        exactly(&Pattern::parse(pattern, FULL).expect(pattern), text, &context)
    }

    #[test]
    fn values_of_variables_are_text() {
        assert_eq!(matches("home/${aws:username}/*", "home/a*b/x"), Some(true));
        assert_eq!(matches("home/${aws:username}/*", "home/axxb/x"), Some(false));
        assert_eq!(matches("u/${Cognito-Identity.amazonaws.com:SUB}", "u/local:1"), Some(true));
        assert_eq!(matches("${*}${?}${$}{x}", "*?${x}"), Some(true));
        assert_eq!(matches("${*}", "x"), Some(false));
        assert_eq!(matches("${aws:PrincipalTag/empty}x", "x"), Some(true));
        assert_eq!(matches("$x$", "$x$"), Some(true));
    }

    #[test]
    fn a_variable_without_a_value_has_its_default_or_nothing() {
        assert_eq!(matches("${aws:missing}", ""), None);
        assert_eq!(matches("${aws:missing}*", "anything"), None);
        assert_eq!(matches("${aws:missing, 'com*pany'}x", "com*panyx"), Some(true));
        assert_eq!(matches("${aws:missing,'a}b'}", "a}b"), Some(true));
        assert_eq!(matches("${aws:missing, ''}x", "x"), Some(true));
        assert_eq!(matches("${aws:username, 'other'}", "a*b"), Some(true));
        // A key with several values is no variable.
        assert_eq!(matches("${aws:TagKeys}", "x"), None);
    }

    #[test]
    fn a_variable_that_is_not_one_is_refused() {
        for wrong in ["${", "${a", "${}", "${ }", "${a, b}", "${a, 'b}", "${a, 'b'", "${a, 'b' x}", "${a b}", "${${a}}", "${a'b}"] {
            assert!(Pattern::parse(wrong, FULL).is_err(), "{wrong}");
        }
        let literal = PatternSyntax { wildcards: false, variables: false };
        let pattern = Pattern::parse("${aws:username}*", literal).expect("text");
        assert_eq!(exactly(&pattern, "${aws:username}*", &RequestContext::default()), Some(true));
    }

    #[test]
    fn a_pattern_takes_memory_as_its_text_does() {
        let pattern = Pattern::parse(&("x".repeat(6_000) + &"*".repeat(6_000)), FULL).expect("text");
        assert_eq!(pattern.0.len(), 2);
        assert_eq!(std::mem::size_of::<PatternPiece>(), std::mem::size_of::<String>());
    }

    #[test]
    fn long_values_are_not_collected() {
        let mut context = RequestContext::default();
        context.set("a", "x".repeat(10_000));
        let pattern = Pattern::parse(&"${a}".repeat(1_500), FULL).expect("variables");
        assert!(matches!(pattern.expand(&MatchContext::new(&context), LetterCase::Exact, 100), Expanded::TooLong));
        assert_eq!(exactly(&pattern, "xx", &context), Some(false));
        // A variable without a value counts also behind the text's end.
        let pattern = Pattern::parse("${a}${b}", FULL).expect("variables");
        assert_eq!(exactly(&pattern, "xx", &context), None);
    }
}
