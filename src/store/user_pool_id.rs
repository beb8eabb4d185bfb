//! The id of a user pool, and the owner of what stands in one.

use std::fmt;
use std::sync::Arc;

/// Characters of an id: UserPoolIdType of the service's model.
const MAX_BYTES: usize = 55;

/// The id of a user pool: the region, an underscore, and letters and digits. A clone shares the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserPoolId(Arc<str>);

impl UserPoolId {
    /// The id with this text; `None` unless it is `[\w-]+_[0-9a-zA-Z]+` of at most 55 characters.
    pub fn parse(text: &str) -> Option<UserPoolId> {
        let (region, name) = text.rsplit_once('_')?;
        let is_region = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_id = text.len() <= MAX_BYTES
            && !region.is_empty()
            && region.bytes().all(is_region)
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_id.then(|| UserPoolId(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands behind the underscore: clients of SRP know the pool by it.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('_').map_or("", |(_, name)| name)
    }

    /// What stands before it.
    pub fn region(&self) -> &str {
        self.0.rsplit_once('_').map_or("", |(region, _)| region)
    }
}

impl fmt::Display for UserPoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user of a user pool, by the name that the rows are found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolUserKey {
    pub pool: UserPoolId,
    /// The username; in lower case if the pool does not look at case. Never empty: the rows of the pool itself have no name.
    pub name: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_region_and_a_name() {
        let id = UserPoolId::parse("us-east-1_AbCdEfGhI").expect("an id");
        assert_eq!((id.region(), id.name()), ("us-east-1", "AbCdEfGhI"));
        for text in ["", "_a", "local_", "local", "local:a_b", "local_a-b", &format!("local_{}", "a".repeat(50)), "l\u{f6}cal_a"] {
            assert_eq!(UserPoolId::parse(text), None, "{text}");
        }
    }
}
