//! The values of a condition in a policy: read once, when the policy is parsed, into what the operator compares.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;

use super::date::parse_date;
use super::decimal::Decimal;
use super::operator::{OrderTest, TextTest, ValueTest};
use super::pattern::{Expanded, LetterCase, Pattern, PatternSyntax, characters, counted_match};
use super::wildcard::PatternToken;
use super::work::MatchContext;

/// Parts of an ARN.
const ARN_PARTS: usize = 6;

/// A value of the request, in the form in which the values of a condition are compared with it.
pub(super) struct ComparedValue<'a> {
    text: &'a str,
    characters: Vec<char>,
    case: LetterCase,
}

impl<'a> ComparedValue<'a> {
    pub(super) fn new(text: &'a str, test: ValueTest) -> ComparedValue<'a> {
        let case = if test == ValueTest::Text(TextTest::EqualsIgnoreCase) { LetterCase::Ignored } else { LetterCase::Exact };
        ComparedValue { text, characters: characters(text, case), case }
    }
}

/// One value of a condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Text(Pattern),
    Arn(Pattern),
    Numeric(Decimal, OrderTest),
    Date(i128, OrderTest),
    Bool(bool),
    Binary(Vec<u8>),
    Address(IpNet),
}

impl Operand {
    /// Reads a value for a test; the error says what is wrong with it. Variables stand in texts and ARNs only.
    pub(super) fn parse(test: ValueTest, text: &str, variables: bool) -> Result<Operand, String> {
        let wrong = |what: &str| format!("{text:?} is no {what}");
        match test {
            ValueTest::Text(test) => {
                let syntax = PatternSyntax { wildcards: test == TextTest::Like, variables };
                Ok(Operand::Text(Pattern::parse(text, syntax)?))
            }
            ValueTest::Arn => {
                let pattern = Pattern::parse(text, PatternSyntax { wildcards: true, variables })?;
                // A pattern with fewer parts would never match, so a negated operator with it would allow everything.
                let is_arn = text == "*" || text.splitn(ARN_PARTS, ':').count() == ARN_PARTS;
                if pattern.is_constant() && !is_arn { Err(wrong("ARN")) } else { Ok(Operand::Arn(pattern)) }
            }
            ValueTest::Numeric(order) => Ok(Operand::Numeric(Decimal::parse(text).ok_or_else(|| wrong("number"))?, order)),
            ValueTest::Date(order) => Ok(Operand::Date(parse_date(text).ok_or_else(|| wrong("date"))?, order)),
            ValueTest::Bool | ValueTest::Null => Ok(Operand::Bool(boolean(text).ok_or_else(|| wrong("boolean"))?)),
            ValueTest::Binary => Ok(Operand::Binary(STANDARD.decode(text).map_err(|_| wrong("base64 text"))?)),
            ValueTest::Address => Ok(Operand::Address(network(text).ok_or_else(|| wrong("IP address or range"))?)),
        }
    }

    /// Whether the operand is a text that is known when the policy is saved and has more than wildcards. A variable could stand for the very value that it
    /// is compared with.
    pub(super) fn names_something(&self) -> bool {
        matches!(self, Operand::Text(pattern) if pattern.is_constant() && !pattern.is_all_wildcards())
    }

    /// Whether a value of the request matches. A value that is not of the operator's type matches nothing, and neither does anything match a variable
    /// without a value: "There is no equal or like value." So a negated operator holds for both.
    pub(super) fn matches(&self, compared: &ComparedValue<'_>, context: &MatchContext<'_>) -> bool {
        let value = compared.text;
        match self {
            Operand::Text(pattern) => pattern.matches(&compared.characters, context, compared.case) == Some(true),
            Operand::Arn(pattern) => arn_matches(pattern, &compared.characters, context),
            Operand::Numeric(operand, order) => Decimal::parse(value).is_some_and(|value| order.holds(value.cmp(operand))),
            Operand::Date(operand, order) => parse_date(value).is_some_and(|value| order.holds(value.cmp(operand))),
            Operand::Bool(operand) => boolean(value) == Some(*operand),
            Operand::Binary(operand) => STANDARD.decode(value).is_ok_and(|value| value == *operand),
            Operand::Address(operand) => value.parse::<IpAddr>().is_ok_and(|value| operand.contains(&value.to_canonical())),
        }
    }
}

/// Compares ARNs part by part: "Each of the six colon-delimited components of the ARN is checked separately and each can include multi-character match
/// wildcards (*) or single-character match wildcards (?)."
fn arn_matches(pattern: &Pattern, value: &[char], context: &MatchContext<'_>) -> bool {
    let parts: Vec<&[char]> = value.splitn(ARN_PARTS, |c| *c == ':').collect();
    if parts.len() != ARN_PARTS || parts[0] != ['a', 'r', 'n'] {
        return false;
    }
    let Expanded::Tokens(tokens) = pattern.expand(context, LetterCase::Exact, value.len()) else { return false };
    if tokens == [PatternToken::Run] {
        return true;
    }
    let patterns: Vec<&[PatternToken]> = tokens.splitn(ARN_PARTS, |token| *token == PatternToken::Character(':')).collect();
    patterns.len() == ARN_PARTS && patterns.iter().zip(&parts).all(|(pattern, part)| counted_match(pattern, part, context))
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        return Some(true);
    }
    text.eq_ignore_ascii_case("false").then_some(false)
}

/// An address or a range. `203.0.113.7/24` is the range that the address lies in.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
