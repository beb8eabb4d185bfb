//! One line of a statement's `Condition`: an operator, a context key, and the values of the policy.
//! Source: "IAM JSON policy elements: Condition operators" and "Single-valued vs. multivalued context keys" in the IAM User Guide.

use super::effect::Effect;
use super::operand::{ComparedValue, Operand};
use super::operator::{ConditionOperator, SetQualifier, ValueTest};
use super::work::MatchContext;

/// An operator, a key and the values it is compared with. All conditions of a statement have to hold; of the values of one condition one is enough, and
/// for a negated operator none may match.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    pub(super) operator: ConditionOperator,
    /// In lower case.
    pub(super) key: String,
    pub(super) operands: Vec<Operand>,
}

impl Condition {
    pub(super) fn holds(&self, context: &MatchContext<'_>, effect: Effect) -> bool {
        let values = context.values(&self.key);
        // AWS calls a key without values, or with nothing but empty ones, "a null dataset".
        let is_null = values.iter().all(String::is_empty);
        let ConditionOperator { test, is_negated, if_exists, qualifier } = self.operator;
        if test == ValueTest::Null {
            return self.operands.contains(&Operand::Bool(is_null));
        }
        let holds_for = |value: &String| {
            // Numbers, dates, addresses and binary values are read again for each operand.
            let reads = if matches!(test, ValueTest::Text(_) | ValueTest::Arn) { 1 } else { self.operands.len() };
            context.spend(value.len() * reads);
            let value = ComparedValue::new(value, test);
            self.operands.iter().any(|operand| operand.matches(&value, context)) != is_negated
        };
        match qualifier {
            // "It also returns true if there are no context keys in the request."
            SetQualifier::ForAllValues => is_null || values.iter().all(holds_for),
            // "For no matching context key or if the key does not exist, the condition returns false", also with `IfExists`.
            SetQualifier::ForAnyValue => !is_null && values.iter().any(holds_for),
            SetQualifier::None => match values {
                [] => if_exists || is_negated,
                [value] => holds_for(value),
                // "Multivalued context keys require a condition set operator": without one AWS leaves the outcome open. We take the one that grants less.
                several if effect == Effect::Allow => several.iter().all(holds_for),
                several => several.iter().any(holds_for),
            },
        }
    }
}
