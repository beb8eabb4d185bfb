//! Makes a pool's apps from its configuration. What several apps share, for example a key or the connections to a gateway, is made once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Authority;

use super::access_token::AccessTokenSource;
use super::apps::{ApnsApp, FcmApp, GatewayServer, PoolApps, WebpushApp};
use super::config::{
    APNS_SANDBOX_SERVER, APNS_SERVER, ApnsConfig, FCM_SERVER, FcmConfig, PushConfig, WebpushConfig, is_loopback_host, parse_server,
};
use super::config_error::PushConfigError;
use super::connect;
use super::connection_limits::ConnectionLimits;
use super::connection_pool::ConnectionPool;
use super::credentials::{ClientCertificate, ServiceAccount, SigningKey};
use super::endpoint::AddressPolicy;
use super::payload::PayloadFormat;
use super::provider_token::ProviderTokenCache;
use super::third_party::ThirdPartyClient;
use super::tls::RootCertificates;
use super::vapid::{VapidSigner, check_contact};
use super::vapid_key;
use crate::auth::{OutboundProxy, ProxyRoutes};

/// Reads every credential. Blocks on the disk.
pub(super) fn open(config: &PushConfig, timeout: Duration, proxy: &OutboundProxy) -> Result<PoolApps, PushConfigError> {
    config.check()?;
    let mut builder = AppBuilder {
        routes: proxy.routes(),
        roots: RootCertificates::native(),
        connections: HashMap::new(),
        provider_tokens: HashMap::new(),
        third_party: HashMap::new(),
    };
    let mut apps = PoolApps {
        format: PayloadFormat { cognito: config.cognito, name_hash_key: config.name_hash_key.as_ref().map(|key| key.clone().into_bytes()) },
        apns: HashMap::new(),
        fcm: HashMap::new(),
        webpush: HashMap::new(),
        timeout,
    };
    for (at, app) in config.apns.iter().enumerate() {
        apps.apns.insert(app.app.clone(), builder.apns(app).map_err(|why| why.in_entry("apns", at))?);
    }
    for (at, app) in config.fcm.iter().enumerate() {
        apps.fcm.insert(app.app.clone(), builder.fcm(app).map_err(|why| why.in_entry("fcm", at))?);
    }
    for (at, app) in config.webpush.iter().enumerate() {
        apps.webpush.insert(app.app.clone(), builder.webpush(app).map_err(|why| why.in_entry("webpush", at))?);
    }
    Ok(apps)
}

struct AppBuilder {
    /// The proxy to configured gateways.
    routes: ProxyRoutes,
    roots: RootCertificates,
    connections: HashMap<ConnectionKey, ConnectionPool>,
    provider_tokens: HashMap<ProviderKeyId, Arc<ProviderTokenCache>>,
    /// By `authority_file` and `allow_private`.
    third_party: HashMap<(Option<PathBuf>, bool), ThirdPartyClient>,
}

/// Apps with equal keys share connections. APNs refuses provider tokens of two teams on one connection, and a client certificate belongs to
/// its connection.
#[derive(PartialEq, Eq, Hash)]
struct ConnectionKey {
    server: String,
    authority: Option<PathBuf>,
    client: ClientIdentity,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum ClientIdentity {
    AppleTeam(String),
    Certificate(PathBuf),
    ServiceAccount(PathBuf),
}

/// An Apple signing key.
#[derive(PartialEq, Eq, Hash)]
struct ProviderKeyId {
    file: PathBuf,
    key_id: String,
    team_id: String,
}

impl AppBuilder {
    fn apns(&mut self, app: &ApnsConfig) -> Result<ApnsApp, PushConfigError> {
        let (client, tokens) = match (&app.key_file, &app.key_id, &app.team_id, &app.certificate_file) {
            (Some(file), Some(key_id), Some(team_id), None) => {
                (ClientIdentity::AppleTeam(team_id.clone()), Some(self.provider_tokens(file, key_id, team_id)?))
            }
            (None, None, None, Some(certificate)) => (ClientIdentity::Certificate(certificate.clone()), None),
            _ => {
                let why = format!("the app {} needs key_file, key_id and team_id together, or certificate_file alone", app.app);
                return Err(PushConfigError::setting(why));
            }
        };
        let production = parse_server(app.server.as_deref(), APNS_SERVER).map_err(|why| why.of("server"))?;
        let sandbox = parse_server(app.sandbox_server.as_deref(), APNS_SANDBOX_SERVER).map_err(|why| why.of("sandbox_server"))?;
        let authority = app.authority_file.as_deref();
        Ok(ApnsApp {
            production: self.gateway(production, authority, &client)?,
            sandbox: self.gateway(sandbox, authority, &client)?,
            tokens,
        })
    }

    fn provider_tokens(&mut self, file: &Path, key_id: &str, team_id: &str) -> Result<Arc<ProviderTokenCache>, PushConfigError> {
        let key = ProviderKeyId { file: file.to_owned(), key_id: key_id.to_owned(), team_id: team_id.to_owned() };
        if let Some(tokens) = self.provider_tokens.get(&key) {
            return Ok(tokens.clone());
        }
        let tokens = ProviderTokenCache::new(SigningKey::read(file).map_err(|why| why.of("key_file"))?.private, key_id, team_id);
        Ok(self.provider_tokens.entry(key).or_insert(tokens).clone())
    }

    fn fcm(&mut self, app: &FcmConfig) -> Result<FcmApp, PushConfigError> {
        let file = &app.service_account_file;
        let account = ServiceAccount::read(file).map_err(|why| why.of("service_account_file"))?;
        let uri: Option<Uri> = account.token_uri.parse().ok();
        match uri.as_ref().map(|uri| (uri.scheme_str(), uri.host())) {
            Some((Some("https"), Some(_))) => {}
            Some((Some("http"), Some(host))) if is_loopback_host(host) => {}
            _ => {
                let why = "token_uri must be an https address (http on this machine only)";
                return Err(PushConfigError::file(file, why).of("service_account_file"));
            }
        }
        uri.map_or(Ok(()), |uri| self.check_proxy(&uri))?;
        let authority = app.authority_file.as_deref();
        let server = parse_server(app.server.as_deref(), FCM_SERVER).map_err(|why| why.of("server"))?;
        let gateway = self.gateway(server, authority, &ClientIdentity::ServiceAccount(file.clone()))?;
        Ok(FcmApp {
            gateway,
            access_tokens: AccessTokenSource::new(account, self.roots.client_config(authority, None)?, self.routes.clone()),
        })
    }

    fn webpush(&mut self, app: &WebpushConfig) -> Result<WebpushApp, PushConfigError> {
        check_contact(&app.contact).map_err(|why| PushConfigError::setting(why).of("contact"))?;
        let pair = vapid_key::read(&app.vapid_key_file).map_err(|why| why.of("vapid_key_file"))?;
        let vapid = VapidSigner::new(pair, &app.contact);
        let policy = if app.allow_private { AddressPolicy::Any } else { AddressPolicy::PublicOnly };
        let key = (app.authority_file.clone(), app.allow_private);
        let client = match self.third_party.get(&key) {
            Some(client) => client.clone(),
            None => {
                let client = ThirdPartyClient::new(self.roots.client_config(app.authority_file.as_deref(), None)?, policy);
                self.third_party.entry(key).or_insert(client).clone()
            }
        };
        Ok(WebpushApp { client, policy, vapid })
    }

    fn check_proxy(&self, server: &Uri) -> Result<(), PushConfigError> {
        let host = server.host().unwrap_or_default();
        self.routes.check(server).map_err(|unusable| PushConfigError::setting(format!("{host} is reached through a proxy: {unusable}")))
    }

    fn gateway(&mut self, server: Uri, authority: Option<&Path>, client: &ClientIdentity) -> Result<GatewayServer, PushConfigError> {
        self.check_proxy(&server)?;
        let key = ConnectionKey { server: server.to_string(), authority: authority.map(Path::to_owned), client: client.clone() };
        if let Some(connections) = self.connections.get(&key) {
            return Ok(GatewayServer { server, connections: connections.clone() });
        }
        let certificate = match client {
            ClientIdentity::Certificate(file) => Some(ClientCertificate::read(file).map_err(|why| why.of("certificate_file"))?),
            ClientIdentity::AppleTeam(_) | ClientIdentity::ServiceAccount(_) => None,
        };
        let tls = self.roots.client_config(authority, certificate)?;
        let name = server.authority().map_or("", Authority::as_str);
        let connections = ConnectionPool::new(name, connect::to(&server, tls, self.routes.clone()), ConnectionLimits::DEFAULT);
        Ok(GatewayServer { server, connections: self.connections.entry(key).or_insert(connections).clone() })
    }
}
