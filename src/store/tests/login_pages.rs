//! Logins are listed in pages and searched by the beginning of their subject.

use crate::store::support::{CONFIG, epoch};
use crate::store::{Identity, LoginKey, LoginPosition, LoginSearch, Store};

/// Issuers and subjects of several lengths, some of which begin with others.
const ISSUERS: [&str; 3] = ["a", "https://issuer.example", "z"];
const SUBJECTS: [&str; 12] = ["al", "alice", "alicea", "alicia", "b", "bob", "zz", "al-1", "aliceandbob", "ALICE", "ünal", "a"];

fn store(folder: &std::path::Path) -> Store {
    let store = Store::open(folder, &CONFIG, &epoch("first")).expect("opens");
    let mut group = store.group();
    for (pool, made_ms) in [("app", 5), ("apple", 6)] {
        for (at, issuer) in ISSUERS.iter().enumerate() {
            for subject in SUBJECTS {
                let identity = Identity::from(format!("local:{pool}{at}{subject}").as_str());
                group.identity(LoginKey { pool, issuer, subject }, &identity, made_ms).expect("decides");
            }
        }
    }
    group.commit().expect("commits");
    store
}

/// All pages of a search, each of at most so many logins.
fn listed(store: &Store, issuer: Option<&str>, prefix: &str, limit: usize) -> Vec<(String, String)> {
    let mut search =
        LoginSearch { pool: "app".to_owned(), issuer: issuer.map(str::to_owned), prefix: prefix.to_owned(), after: None, limit };
    let mut found = Vec::new();
    loop {
        let page = store.logins_page(&search).expect("reads");
        assert!(page.logins.len() <= limit);
        assert!(page.logins.iter().all(|one| one.login.pool == "app" && one.created_ms == 5));
        found.extend(page.logins.into_iter().map(|one| (one.login.issuer, one.login.subject)));
        match page.next {
            Some(next) => search.after = Some(next),
            None => return found,
        }
    }
}

#[test]
fn a_search_finds_the_logins_that_begin_with_a_text_whatever_the_pages() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let store = store(folder.path());
    for issuer in [None, Some("a"), Some("https://issuer.example"), Some("nobody")] {
        for prefix in ["", "a", "al", "ali", "alice", "alicia", "b", "zz", "zzz", "A", "ü", "x", "bobb"] {
            let mut expected: Vec<(String, String)> = Vec::new();
            for from in ISSUERS.iter().filter(|from| issuer.is_none_or(|issuer| issuer == **from)) {
                let matching = SUBJECTS.iter().filter(|subject| subject.starts_with(prefix));
                expected.extend(matching.map(|subject| ((*from).to_owned(), (*subject).to_owned())));
            }
            expected.sort_by(|a, b| (a.0.len(), &a.0, a.1.len(), &a.1).cmp(&(b.0.len(), &b.0, b.1.len(), &b.1)));
            for limit in [1, 2, 5, 100] {
                assert_eq!(listed(&store, issuer, prefix, limit), expected, "{issuer:?} {prefix:?} by {limit}");
            }
        }
    }
}

#[test]
fn a_position_that_nobody_issued_reads_only_the_pool() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let store = store(folder.path());
    for after in [vec![], vec![0xff], vec![0; 10_000], b"\x00\x01a\x00\x05alice".to_vec()] {
        let search =
            LoginSearch { pool: "app".to_owned(), issuer: None, prefix: String::new(), after: Some(LoginPosition(after)), limit: 100 };
        let page = store.logins_page(&search).expect("reads");
        assert!(page.logins.iter().all(|one| one.login.pool == "app"));
    }
}
