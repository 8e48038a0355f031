use super::TlsError;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};
use std::fmt;
use std::sync::Arc;

/// How a server proves who it is; clones are cheap.
#[derive(Clone)]
pub struct ServerTls(pub(super) Arc<ServerConfig>);

/// Which servers a client trusts; clones are cheap and share the memory of sessions that shortens later handshakes.
#[derive(Clone)]
pub struct ClientTls(pub(super) Arc<ClientConfig>);

impl ServerTls {
    /// Reads the server's certificate, followed by those that signed it, and its private key (PKCS#8, PKCS#1 or SEC1), all
    /// as PEM. Clients are not asked for certificates.
    ///
    /// # Errors
    /// Something is missing, broken, or does not belong together.
    pub fn from_pem(cert_chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(cert_chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey,
            error => TlsError::Pem(error.to_string()),
        })?;
        let config = versions(ServerConfig::builder_with_provider(Arc::new(ring::default_provider())))
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Self(Arc::new(config)))
    }
}

impl ClientTls {
    /// Trusts what these authorities signed (certificates as PEM), and nothing else.
    ///
    /// # Errors
    /// There is none, or one is broken.
    pub fn with_roots_pem(roots: &[u8]) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for root in certificates(roots)? {
            store.add(root)?;
        }
        Ok(Self::trusting(store))
    }

    /// Trusts what browsers trust: Mozilla's list as of this build.
    pub fn public_roots() -> Self {
        Self::trusting(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    fn trusting(roots: RootCertStore) -> Self {
        let config = versions(ClientConfig::builder_with_provider(Arc::new(ring::default_provider())))
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(Arc::new(config))
    }
}

/// TLS 1.2 and 1.3.
fn versions<S: rustls::ConfigSide>(
    builder: ConfigBuilder<S, rustls::WantsVersions>,
) -> ConfigBuilder<S, WantsVerifier> {
    builder.with_safe_default_protocol_versions().expect("ring has ciphers for both versions")
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(TlsError::NoCertificate),
        Ok(all) => Ok(all),
        Err(error) => Err(TlsError::Pem(error.to_string())),
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        f.write_str("ServerTls")
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}
