//! The page over HTTPS (feature `tls`).

use super::PageError;
use std::path::Path;
use tokio::net::TcpStream;

#[cfg(feature = "tls")]
mod with {
    use super::{PageError, Path, TcpStream};
    use std::sync::Arc;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring::default_provider;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::server::TlsStream;

    pub(in crate::page) type Acceptor = tokio_rustls::TlsAcceptor;

    /// Reads certificate and key.
    pub(in crate::page) fn acceptor(certificate: &Path, key: &Path) -> Result<Acceptor, PageError> {
        let bad = |path: &Path, reason: &dyn std::fmt::Display| PageError::Tls {
            path: path.display().to_string(),
            reason: reason.to_string(),
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(|found| found.collect())
            .map_err(|error| bad(certificate, &error))?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, &error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|error| bad(certificate, &error))?;
        Ok(Acceptor::from(Arc::new(config)))
    }

    pub(in crate::page) async fn accept(
        acceptor: &Acceptor,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        acceptor.accept(stream).await
    }
}

#[cfg(not(feature = "tls"))]
mod without {
    use super::{PageError, Path, TcpStream};

    /// There is none in this program.
    #[derive(Clone)]
    pub(in crate::page) enum Acceptor {}

    /// Refuses.
    pub(in crate::page) fn acceptor(certificate: &Path, _key: &Path) -> Result<Acceptor, PageError> {
        let reason = "this program was built without HTTPS (cargo feature tls)".to_owned();
        Err(PageError::Tls { path: certificate.display().to_string(), reason })
    }

    pub(in crate::page) async fn accept(acceptor: &Acceptor, _stream: TcpStream) -> std::io::Result<TcpStream> {
        match *acceptor {}
    }
}

#[cfg(feature = "tls")]
pub(super) use with::{Acceptor, accept, acceptor};
#[cfg(not(feature = "tls"))]
pub(super) use without::{Acceptor, accept, acceptor};
