//! The logins of a pool, in pages: all of them, or those whose subject begins with a text.
//!
//! Rows of logins stand by issuer, then by the length of the subject, then by the subject. A search seeks from length to length, so it reads
//! the rows that it returns and a few more, however many logins there are.

use super::engine::Bytes;
use super::identities::LoginInfo;
use super::row_source::RowSource;
use super::rows::{self, IdentityRow};
use super::{Identity, Store, StoreError, keys};

/// How many rows one page may read: far more than a page has, so that only a search through very many issuers or lengths takes several.
const MAX_READS: usize = 4096;

/// Which logins a page has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginSearch {
    pub pool: String,
    /// Only logins of this issuer.
    pub issuer: Option<String>,
    /// Only subjects that begin with this text; empty: all.
    pub prefix: String,
    /// The end of the page before.
    pub after: Option<LoginPosition>,
    pub limit: usize,
}

/// Where a page ends. Only a search for the same pool and issuer continues there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginPosition(pub Vec<u8>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginsPage {
    /// In the order of the rows.
    pub logins: Vec<ListedLogin>,
    /// Where the next page begins; `None`: there is no more.
    pub next: Option<LoginPosition>,
}

/// A login, and when its identity was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedLogin {
    pub login: LoginInfo,
    pub created_ms: u64,
}

impl Store {
    /// A page of the logins that a search finds. It may have fewer than the limit, or none, although there are more.
    pub fn logins_page(&self, search: &LoginSearch) -> Result<LoginsPage, StoreError> {
        let pool = keys::logins(&search.pool);
        let base = search.issuer.as_ref().map_or_else(|| pool.clone(), |issuer| keys::logins_of(&search.pool, issuer));
        let end = keys::prefix_end(&base);
        let mut at = [base.as_slice(), search.after.as_ref().map_or(&[], |after| after.0.as_slice())].concat();
        let mut logins = Vec::new();
        for _ in 0..MAX_READS {
            let Some((key, row)) = self.engine.scan(&at, &end, 1)?.pop() else { return Ok(LoginsPage { logins, next: None }) };
            let mut parts = keys::KeyParts::after(&key, &pool)?;
            let (issuer, subject) = (parts.name()?, parts.name()?);
            at = match seek(&search.prefix, subject) {
                None => [key.as_slice(), &[0]].concat(),
                Some(length) => keys::login_from(&search.pool, issuer, length, &search.prefix),
            };
            if subject.starts_with(&search.prefix) {
                logins.push(self.listed(&search.pool, issuer, subject, &row)?);
                if logins.len() >= search.limit {
                    break;
                }
            }
        }
        let next = Some(LoginPosition(at.get(base.len()..).unwrap_or_default().to_vec()));
        Ok(LoginsPage { logins, next })
    }

    fn listed(&self, pool: &str, issuer: &str, subject: &str, row: &Bytes) -> Result<ListedLogin, StoreError> {
        let identity = Identity::from(rows::decode::<String>(row)?.as_str());
        let made = self.engine.row::<IdentityRow>(&keys::identity(&identity))?;
        let login = LoginInfo { pool: pool.to_owned(), issuer: issuer.to_owned(), subject: subject.to_owned(), identity };
        Ok(ListedLogin { login, created_ms: made.map_or(0, |row| row.made_ms) })
    }
}

/// The length of the subjects among which a search goes on after the row of this subject; `None`: with the next row.
fn seek(prefix: &str, subject: &str) -> Option<usize> {
    if subject.starts_with(prefix) {
        return None;
    }
    if subject.len() < prefix.len() {
        return Some(prefix.len());
    }
    // Those of the same length that begin with the prefix stand after this row, or before it.
    Some(if subject < prefix { subject.len() } else { subject.len() + 1 })
}
