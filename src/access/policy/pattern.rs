//! Texts of a policy that a request is compared with: wildcards, and variables that stand for values of the request.
//! Source: "IAM policy elements: Variables and tags" in the IAM User Guide.

use super::wildcard::{PatternToken, match_tokens};
use crate::access::RequestContext;

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
    Token(PatternToken),
    /// The key in lower case, and what stands for it if the request has no value.
    Variable {
        key: String,
        default: Option<String>,
    },
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
            if syntax.variables && rest.starts_with("${") {
                let (piece, behind) = variable(&rest[2..])?;
                pieces.push(piece);
                rest = behind;
                continue;
            }
            rest = &rest[c.len_utf8()..];
            pieces.push(PatternPiece::Token(match c {
                '*' if syntax.wildcards => PatternToken::Run,
                '?' if syntax.wildcards => PatternToken::One,
                c => PatternToken::Character(c),
            }));
        }
        Ok(Pattern(pieces))
    }

    /// Whether the whole text matches; `None` if a variable has no value.
    pub(super) fn matches(&self, text: &str, context: &RequestContext, case: LetterCase) -> Option<bool> {
        let text = characters(text, case);
        match self.expand(context, case, text.len()) {
            Expanded::Tokens(tokens) => Some(match_tokens(&tokens, &text).0),
            Expanded::TooLong => Some(false),
            Expanded::NoValue => None,
        }
    }

    /// Puts in the values of the variables. What a variable brings in is text: a `*` in a user's name is no wildcard. Characters over `most` are not
    /// collected, so a pattern with many long values takes no memory.
    pub(super) fn expand(&self, context: &RequestContext, case: LetterCase, most: usize) -> Expanded {
        let mut tokens = Vec::with_capacity(self.0.len());
        let mut needed = 0;
        for piece in &self.0 {
            match piece {
                PatternPiece::Token(PatternToken::Run) => tokens.push(PatternToken::Run),
                PatternPiece::Token(PatternToken::One) => {
                    needed += 1;
                    tokens.push(PatternToken::One);
                }
                PatternPiece::Token(PatternToken::Character(c)) => push(&mut tokens, &mut needed, most, &[*c], case),
                PatternPiece::Variable { key, default } => {
                    let Some(value) = context.variable(key).or(default.as_deref()) else { return Expanded::NoValue };
                    // One character more than there is room for is enough to know that there is none.
                    let value: Vec<char> = value.chars().take((most + 1).saturating_sub(needed)).collect();
                    push(&mut tokens, &mut needed, most, &value, case);
                }
            }
        }
        if needed > most { Expanded::TooLong } else { Expanded::Tokens(tokens) }
    }

    /// Whether the text has no variable, so that it can be checked when the policy is saved.
    pub(super) fn is_constant(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, PatternPiece::Token(_)))
    }
}

fn push(tokens: &mut Vec<PatternToken>, needed: &mut usize, most: usize, value: &[char], case: LetterCase) {
    for &c in value {
        let folded = fold(c, case);
        *needed += folded.clone().count();
        if *needed <= most {
            tokens.extend(folded.map(PatternToken::Character));
        }
    }
}

/// The characters of a text in the form in which they are compared.
pub(super) fn characters(text: &str, case: LetterCase) -> Vec<char> {
    text.chars().flat_map(|c| fold(c, case)).collect()
}

fn fold(c: char, case: LetterCase) -> impl Iterator<Item = char> + Clone {
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
    let variable = |default| PatternPiece::Variable { key: key.to_ascii_lowercase(), default };
    if let Some(rest) = rest.strip_prefix('}') {
        let piece = match key {
            "*" => PatternPiece::Token(PatternToken::Character('*')),
            "?" => PatternPiece::Token(PatternToken::Character('?')),
            "$" => PatternPiece::Token(PatternToken::Character('$')),
            _ => variable(None),
        };
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

    const FULL: PatternSyntax = PatternSyntax { wildcards: true, variables: true };

    fn matches(pattern: &str, text: &str) -> Option<bool> {
        let mut context = RequestContext::default();
        context.set("aws:username", "a*b");
        context.set("cognito-identity.amazonaws.com:sub", "local:1");
        context.set("aws:PrincipalTag/empty", "");
        context.set_all("aws:TagKeys", ["x".to_owned(), "y".to_owned()]);
        Pattern::parse(pattern, FULL).expect(pattern).matches(text, &context, LetterCase::Exact)
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
        assert_eq!(pattern.matches("${aws:username}*", &RequestContext::default(), LetterCase::Exact), Some(true));
    }

    #[test]
    fn long_values_are_not_collected() {
        let mut context = RequestContext::default();
        context.set("a", "x".repeat(10_000));
        let pattern = Pattern::parse(&"${a}".repeat(1_500), FULL).expect("variables");
        assert!(matches!(pattern.expand(&context, LetterCase::Exact, 100), Expanded::TooLong));
        assert_eq!(pattern.matches("xx", &context, LetterCase::Exact), Some(false));
        // A variable without a value counts also behind the text's end.
        let pattern = Pattern::parse("${a}${b}", FULL).expect("variables");
        assert_eq!(pattern.matches("xx", &context, LetterCase::Exact), None);
    }
}
