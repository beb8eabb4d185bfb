//! Stories of decisions, of parsing, and of what went wrong in comparable systems.

mod conditions;
mod decisions;
mod parsing;
mod principals;
mod properties;
mod public_reports;
mod support;
