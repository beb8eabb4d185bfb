//! The fields of a form: texts, and under their dotted names lists (`Tags.member.1.Key`) and maps (`Attributes.entry.1.key`).

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::parameters::{ParameterFault, Parameters};

/// AssumeRole with 50 tags, 50 transitive tag keys and 10 policies has 170 fields; no list of iam's or sns's operations has more than 100 members.
const MAX_FIELDS: usize = 1_000;

/// The longest name of the models has about 60 characters.
const MAX_NAME_BYTES: usize = 256;

/// The deepest name of the models, `PublishBatchRequestEntries.member.N.MessageAttributes.entry.N.value.DataType`, has eight parts.
const MAX_DEPTH: usize = 8;

/// The fields of a form by their names; each name is there once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryForm(BTreeMap<String, String>);

/// Why a form cannot be read. The names come from the sender, the values never appear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormFault {
    /// It is no form.
    Unreadable(ParameterFault),
    /// A name is too long, or has too many parts.
    Name,
    /// A field is there twice.
    Repeated(String),
    /// A list or map is not numbered 1, 2, 3 and so on.
    Numbering(String),
    /// A field that an operation needs is not there.
    Missing(String),
    /// A field is not of its type.
    Type { name: String, expected: &'static str },
}

/// The members of a structure: the form itself, or a member of a list.
#[derive(Clone, Debug)]
pub struct FormMembers<'a> {
    fields: &'a BTreeMap<String, String>,
    /// What stands before the names of the members: nothing, or a name.
    path: String,
}

impl FormFault {
    /// The fault in words, for the sender.
    pub fn text(&self) -> String {
        match self {
            FormFault::Unreadable(fault) => format!("The form cannot be read: {}", fault.text()),
            FormFault::Name => "A parameter's name is too long".to_owned(),
            FormFault::Repeated(name) => format!("The parameter {name} is there twice"),
            FormFault::Numbering(name) => format!("The members of {name} must be numbered 1, 2, 3 and so on"),
            FormFault::Missing(name) => format!("The request must contain the parameter {name}."),
            FormFault::Type { name, expected } => format!("The parameter {name} must be {expected}"),
        }
    }
}

impl QueryForm {
    /// Adds the fields of a query string or a body. After 1,000 fields the rest is not looked at.
    ///
    /// The parameters of a presigned URL (`X-Amz-...`) are no fields.
    pub(super) fn add(&mut self, text: &[u8]) -> Result<(), FormFault> {
        // A signature in the query adds eight parameters.
        let parameters = Parameters::parse(text, MAX_FIELDS + 8).map_err(FormFault::Unreadable)?;
        for (name, value) in parameters.into_pairs().filter(|(name, _)| !name.starts_with("X-Amz-")) {
            if name.len() > MAX_NAME_BYTES || name.split('.').count() > MAX_DEPTH {
                return Err(FormFault::Name);
            }
            if self.0.len() == MAX_FIELDS {
                return Err(FormFault::Unreadable(ParameterFault::TooMany));
            }
            if self.0.contains_key(&name) {
                return Err(FormFault::Repeated(name));
            }
            self.0.insert(name, value);
        }
        Ok(())
    }

    pub fn members(&self) -> FormMembers<'_> {
        FormMembers { fields: &self.0, path: String::new() }
    }
}

impl<'a> FormMembers<'a> {
    /// A member of a list of texts: its own value.
    pub fn value(&self) -> Option<&'a str> {
        self.fields.get(&self.path).map(String::as_str)
    }

    /// A member; `None` if it is not there. An empty one is there.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.fields.get(&self.named(name)).map(String::as_str)
    }

    /// A member that an operation needs.
    pub fn required(&self, name: &str) -> Result<&'a str, FormFault> {
        self.text(name).ok_or_else(|| FormFault::Missing(self.named(name)))
    }

    /// A member that is a whole number.
    pub fn number(&self, name: &str) -> Result<Option<i64>, FormFault> {
        let fault = || FormFault::Type { name: self.named(name), expected: "a whole number" };
        self.text(name).map(|text| text.parse().map_err(|_| fault())).transpose()
    }

    /// A member that is `true` or `false`.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, FormFault> {
        let fault = || FormFault::Type { name: self.named(name), expected: "true or false" };
        self.text(name).map(|text| text.parse().map_err(|_| fault())).transpose()
    }

    /// The members of a list, in order; none if it is not there, or sent empty as `Tags=`.
    ///
    /// Each field below the list is looked at once.
    pub fn list(&self, name: &str) -> Result<Vec<FormMembers<'a>>, FormFault> {
        self.numbered(name, "member")
    }

    /// The texts of a list of texts.
    pub fn texts(&self, name: &str) -> Result<Vec<&'a str>, FormFault> {
        let members = self.list(name)?;
        members.iter().map(|member| member.value().ok_or_else(|| FormFault::Missing(member.path.clone()))).collect()
    }

    /// The entries of a map of texts, in the order in which they are numbered. A key that is there twice is refused.
    pub fn map(&self, name: &str) -> Result<Vec<(&'a str, &'a str)>, FormFault> {
        let mut keys = BTreeSet::new();
        let entries = self.numbered(name, "entry")?;
        let entry = |entry: &FormMembers<'a>| {
            let (key, value) = (entry.required("key")?, entry.required("value")?);
            if keys.insert(key) { Ok((key, value)) } else { Err(FormFault::Repeated(entry.named("key"))) }
        };
        entries.iter().map(entry).collect()
    }

    fn named(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn numbered(&self, name: &str, kind: &str) -> Result<Vec<FormMembers<'a>>, FormFault> {
        let prefix = format!("{}.{kind}.", self.named(name));
        let below = self.fields.range(prefix.clone()..).map(|(name, _)| name).take_while(|name| name.starts_with(&prefix));
        let mut numbers = BTreeSet::new();
        for field in below {
            let number = field[prefix.len()..].split('.').next().unwrap_or_default();
            // At most four digits and no leading zero, so that each number is written in one way.
            let parsed =
                Some(number).filter(|text| text.len() <= 4 && !text.starts_with(['0', '+'])).and_then(|text| text.parse::<u32>().ok());
            numbers.insert(parsed.ok_or_else(|| FormFault::Numbering(self.named(name)))?);
        }
        if !numbers.iter().copied().eq(1..=numbers.len() as u32) {
            return Err(FormFault::Numbering(self.named(name)));
        }
        Ok(numbers.into_iter().map(|number| FormMembers { fields: self.fields, path: format!("{prefix}{number}") }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<QueryForm, FormFault> {
        let mut form = QueryForm::default();
        form.add(text.as_bytes()).map(|()| form)
    }

    #[test]
    fn lists_and_maps_are_read_in_their_numbers_order() {
        let tags: Vec<_> = (1..=12).map(|n| format!("Tags.member.{n}.Key=k{n}&Tags.member.{n}.Value=v%20{n}")).collect();
        let form = read(&format!(
            "Action=A&{}&Keys.member.2=b&Keys.member.1=a&Empty=&Attributes.entry.1.key=x&Attributes.entry.1.value=",
            tags.join("&")
        ))
        .unwrap();
        let members = form.members();
        let tags: Vec<_> =
            members.list("Tags").unwrap().iter().map(|tag| (tag.required("Key").unwrap(), tag.text("Value").unwrap())).collect();
        assert_eq!((tags.len(), tags[1], tags[11]), (12, ("k2", "v 2"), ("k12", "v 12")));
        assert_eq!(members.texts("Keys").unwrap(), ["a", "b"]);
        assert_eq!(members.texts("Empty").unwrap(), Vec::<&str>::new());
        assert_eq!(members.texts("Absent").unwrap(), Vec::<&str>::new());
        assert_eq!(members.map("Attributes").unwrap(), [("x", "")]);
        assert_eq!(members.required("Absent"), Err(FormFault::Missing("Absent".to_owned())));
    }

    #[test]
    fn numbers_and_booleans_are_read_strictly() {
        let form = read("A=3600&B=1.5&C=true&D=True&E=99999999999999999999").unwrap();
        let members = form.members();
        assert_eq!(members.number("A"), Ok(Some(3600)));
        assert_eq!(members.number("Z"), Ok(None));
        assert!(members.number("B").is_err() && members.number("E").is_err());
        assert_eq!(members.boolean("C"), Ok(Some(true)));
        assert!(members.boolean("D").is_err());
    }

    #[test]
    fn lists_that_are_not_numbered_one_two_three_are_refused() {
        for text in [
            "T.member.0=a",
            "T.member.2=a",
            "T.member.1=a&T.member.3=b",
            "T.member.01=a",
            "T.member.x=a",
            "T.member.=a",
            "T.member.99999999999=a",
        ] {
            let form = read(text).unwrap();
            assert_eq!(form.members().list("T").unwrap_err(), FormFault::Numbering("T".to_owned()), "{text}");
        }
        let form = read("M.entry.1.key=a&M.entry.1.value=1&M.entry.2.key=a&M.entry.2.value=2").unwrap();
        assert_eq!(form.members().map("M"), Err(FormFault::Repeated("M.entry.2.key".to_owned())));
    }

    #[test]
    fn forms_are_bounded() {
        let fields = |most: usize| (0..most).map(|n| format!("a{n}=b&")).collect::<String>();
        assert!(read(&fields(1_000)).is_ok());
        assert_eq!(read(&fields(1_001)), Err(FormFault::Unreadable(ParameterFault::TooMany)));
        assert_eq!(read(&fields(10_000)), Err(FormFault::Unreadable(ParameterFault::TooMany)));
        assert_eq!(read("A=1&A=2"), Err(FormFault::Repeated("A".to_owned())));
        assert_eq!(read(&format!("{}=1", "a".repeat(257))), Err(FormFault::Name));
        assert_eq!(read("a.b.c.d.e.f.g.h.i=1"), Err(FormFault::Name));
        assert_eq!(read(&format!("a{}=1", ".a".repeat(1_000_000))), Err(FormFault::Name));
        assert_eq!(read("A=%"), Err(FormFault::Unreadable(ParameterFault::BrokenEscape)));
        assert_eq!(read("A=%FF"), Err(FormFault::Unreadable(ParameterFault::NotUtf8)));
        assert_eq!(read("X-Amz-Signature=1&X-Amz-Signature=2").unwrap(), QueryForm::default());
    }
}
