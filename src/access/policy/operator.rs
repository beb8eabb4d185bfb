//! The condition operators. Source: "IAM JSON policy elements: Condition operators" in the IAM User Guide.

/// A condition operator, with its set qualifier and `IfExists`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConditionOperator {
    pub(super) test: ValueTest,
    /// The operator asks that no value of the policy matches.
    pub(super) is_negated: bool,
    pub(super) if_exists: bool,
    pub(super) qualifier: SetQualifier,
}

/// How one value of the request is compared with one value of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueTest {
    Text(TextTest),
    Numeric(OrderTest),
    Date(OrderTest),
    Bool,
    Binary,
    Address,
    /// `ArnEquals` and `ArnLike` are the same: "The ArnEquals and ArnLike condition operators behave identically."
    Arn,
    /// Whether the key is absent.
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextTest {
    Equals,
    EqualsIgnoreCase,
    Like,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderTest {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

/// Which values of a key have to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetQualifier {
    /// The key is meant to have one value.
    None,
    ForAllValues,
    ForAnyValue,
}

impl OrderTest {
    pub(super) fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            OrderTest::Equals => order.is_eq(),
            OrderTest::LessThan => order.is_lt(),
            OrderTest::LessThanEquals => order.is_le(),
            OrderTest::GreaterThan => order.is_gt(),
            OrderTest::GreaterThanEquals => order.is_ge(),
        }
    }
}

impl ConditionOperator {
    /// Reads an operator's name; `None` if there is no such operator. `Null` has no `IfExists`.
    pub(super) fn parse(name: &str) -> Option<ConditionOperator> {
        let (qualifier, name) = match name.split_once(':') {
            Some(("ForAllValues", name)) => (SetQualifier::ForAllValues, name),
            Some(("ForAnyValue", name)) => (SetQualifier::ForAnyValue, name),
            Some(_) => return None,
            None => (SetQualifier::None, name),
        };
        let (if_exists, name) = name.strip_suffix("IfExists").map_or((false, name), |name| (true, name));
        let (test, is_negated) = match name {
            "StringEquals" => (ValueTest::Text(TextTest::Equals), false),
            "StringNotEquals" => (ValueTest::Text(TextTest::Equals), true),
            "StringEqualsIgnoreCase" => (ValueTest::Text(TextTest::EqualsIgnoreCase), false),
            "StringNotEqualsIgnoreCase" => (ValueTest::Text(TextTest::EqualsIgnoreCase), true),
            "StringLike" => (ValueTest::Text(TextTest::Like), false),
            "StringNotLike" => (ValueTest::Text(TextTest::Like), true),
            "Bool" => (ValueTest::Bool, false),
            "BinaryEquals" => (ValueTest::Binary, false),
            "IpAddress" => (ValueTest::Address, false),
            "NotIpAddress" => (ValueTest::Address, true),
            "ArnEquals" | "ArnLike" => (ValueTest::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (ValueTest::Arn, true),
            "Null" if !if_exists => (ValueTest::Null, false),
            _ => match name.strip_prefix("Numeric").map(order) {
                Some(order) => order.map(|(order, is_negated)| (ValueTest::Numeric(order), is_negated))?,
                None => name.strip_prefix("Date").and_then(order).map(|(order, is_negated)| (ValueTest::Date(order), is_negated))?,
            },
        };
        Some(ConditionOperator { test, is_negated, if_exists, qualifier })
    }
}

/// The comparison that a name of `Numeric...` or `Date...` ends with, and whether it is negated.
fn order(name: &str) -> Option<(OrderTest, bool)> {
    Some(match name {
        "Equals" => (OrderTest::Equals, false),
        "NotEquals" => (OrderTest::Equals, true),
        "LessThan" => (OrderTest::LessThan, false),
        "LessThanEquals" => (OrderTest::LessThanEquals, false),
        "GreaterThan" => (OrderTest::GreaterThan, false),
        "GreaterThanEquals" => (OrderTest::GreaterThanEquals, false),
        _ => return None,
    })
}
