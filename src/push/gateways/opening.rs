//! Makes a pool's office out of its configuration. What apps have in common, such as a key or a gateway, is made once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use super::bearer::Bearer;
use super::config::{
    APNS_SANDBOX_SERVER, APNS_SERVER, ApnsConfig, FCM_SERVER, FcmConfig, PushConfig, WebpushConfig, is_this_machine, server,
};
use super::config_error::PushConfigError;
use super::connect;
use super::credentials::{Certificate, ServiceAccount, SigningKey};
use super::endpoint::Reach;
use super::lanes::Lanes;
use super::notice::Form;
use super::office::{ApnsApp, FcmApp, Gateway, Inner, Now, WebpushApp};
use super::pace::Pace;
use super::provider_token::ProviderTokens;
use super::strangers::Strangers;
use super::tls::Trust;
use super::vapid::Vapid;

/// Opens an office.
pub(super) fn open(config: &PushConfig, now_ms: Now, timeout: Duration) -> Result<Inner, PushConfigError> {
    config.check()?;
    let mut opening = Opening { trust: Trust::of_this_machine(), lanes: HashMap::new(), tokens: HashMap::new(), strangers: HashMap::new() };
    let mut inner = Inner {
        form: Form { cognito: config.cognito, hide: config.name_hash_key.as_ref().map(|key| key.clone().into_bytes()) },
        apns: HashMap::new(),
        fcm: HashMap::new(),
        webpush: HashMap::new(),
        now_ms,
        timeout,
    };
    for one in &config.apns {
        inner.apns.insert(one.app.clone(), opening.apns(one)?);
    }
    for one in &config.fcm {
        inner.fcm.insert(one.app.clone(), opening.fcm(one)?);
    }
    for one in &config.webpush {
        inner.webpush.insert(one.app.clone(), opening.webpush(one)?);
    }
    Ok(inner)
}

struct Opening {
    trust: Trust,
    lanes: HashMap<Way, Lanes>,
    tokens: HashMap<Key, Arc<ProviderTokens>>,
    strangers: HashMap<(Option<PathBuf>, bool), Strangers>,
}

/// What makes two connections alike: APNs wants no tokens of two teams on one, and a certificate is a connection's own.
#[derive(PartialEq, Eq, Hash)]
struct Way {
    server: String,
    authority: Option<PathBuf>,
    who: Who,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Who {
    Team(String),
    Certificate(PathBuf),
    Account(PathBuf),
}

/// A key of Apple's.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    file: PathBuf,
    key_id: String,
    team_id: String,
}

impl Opening {
    fn apns(&mut self, app: &ApnsConfig) -> Result<ApnsApp, PushConfigError> {
        let (who, tokens) = match (&app.key_file, &app.key_id, &app.team_id, &app.certificate_file) {
            (Some(file), Some(key_id), Some(team_id), None) => (Who::Team(team_id.clone()), Some(self.tokens(file, key_id, team_id)?)),
            (None, None, None, Some(certificate)) => (Who::Certificate(certificate.clone()), None),
            _ => {
                let why = format!("apns {}: needs key_file, key_id and team_id together, or certificate_file alone", app.app);
                return Err(PushConfigError::setting(why));
            }
        };
        let production = server(app.server.as_deref(), APNS_SERVER)?;
        let sandbox = server(app.sandbox_server.as_deref(), APNS_SANDBOX_SERVER)?;
        let authority = app.authority_file.as_deref();
        Ok(ApnsApp { production: self.gateway(production, authority, &who)?, sandbox: self.gateway(sandbox, authority, &who)?, tokens })
    }

    fn tokens(&mut self, file: &Path, key_id: &str, team_id: &str) -> Result<Arc<ProviderTokens>, PushConfigError> {
        let key = Key { file: file.to_owned(), key_id: key_id.to_owned(), team_id: team_id.to_owned() };
        if let Some(tokens) = self.tokens.get(&key) {
            return Ok(tokens.clone());
        }
        let tokens = ProviderTokens::new(SigningKey::read(file)?.private, key_id, team_id);
        Ok(self.tokens.entry(key).or_insert(tokens).clone())
    }

    fn fcm(&mut self, app: &FcmConfig) -> Result<FcmApp, PushConfigError> {
        let file = &app.service_account_file;
        let account = ServiceAccount::read(file)?;
        let uri: Option<Uri> = account.token_uri.parse().ok();
        match uri.as_ref().map(|uri| (uri.scheme_str(), uri.host())) {
            Some((Some("https"), Some(_))) => {}
            Some((Some("http"), Some(host))) if is_this_machine(host) => {}
            _ => return Err(PushConfigError::file(file, "token_uri must be an https address (http on this machine only)")),
        }
        let authority = app.authority_file.as_deref();
        let gateway = self.gateway(server(app.server.as_deref(), FCM_SERVER)?, authority, &Who::Account(file.clone()))?;
        Ok(FcmApp { gateway, bearer: Bearer::new(account, self.trust.config(authority, None)?) })
    }

    fn webpush(&mut self, app: &WebpushConfig) -> Result<WebpushApp, PushConfigError> {
        if !app.contact.starts_with("mailto:") && !app.contact.starts_with("https://") {
            return Err(PushConfigError::setting(format!(
                "webpush {}: contact must be a mailto: or https: address (RFC 8292 section 2.1)",
                app.app
            )));
        }
        let vapid = Vapid::new(SigningKey::read(&app.vapid_key_file)?, &app.contact);
        let reach = if app.allow_private { Reach::Anywhere } else { Reach::Public };
        let key = (app.authority_file.clone(), app.allow_private);
        let strangers = match self.strangers.get(&key) {
            Some(strangers) => strangers.clone(),
            None => {
                let made = Strangers::new(self.trust.config(app.authority_file.as_deref(), None)?, reach);
                self.strangers.entry(key).or_insert(made).clone()
            }
        };
        Ok(WebpushApp { strangers, reach, vapid })
    }

    fn gateway(&mut self, server: Uri, authority: Option<&Path>, who: &Who) -> Result<Gateway, PushConfigError> {
        let way = Way { server: server.to_string(), authority: authority.map(Path::to_owned), who: who.clone() };
        if let Some(lanes) = self.lanes.get(&way) {
            return Ok(Gateway { server, lanes: lanes.clone() });
        }
        let certificate = match who {
            Who::Certificate(file) => Some(Certificate::read(file)?),
            Who::Team(_) | Who::Account(_) => None,
        };
        let tls = self.trust.config(authority, certificate)?;
        let lanes = Lanes::new(server.host().unwrap_or_default(), connect::to(&server, tls), Pace::USUAL);
        Ok(Gateway { server, lanes: self.lanes.entry(way).or_insert(lanes).clone() })
    }
}
