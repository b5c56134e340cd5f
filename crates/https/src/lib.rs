//! The HTTPS client of the control side: whom it believes, and how it connects. It follows no
//! redirection. Bounds of time and of the body are the caller's, who knows what it waits for.

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hyper::body::{Body, Incoming};
use hyper::ext::on_informational;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::Notify;

/// A client whose requests have bodies of this kind. Clones share its connections.
pub type Client<B> = legacy::Client<HttpsConnector<HttpConnector>, B>;

/// The schemes of URLs that may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schemes {
    /// `https` only.
    Https,
    /// `http`, too.
    HttpToo,
}

/// A client that believes these roots; where there are none, those that browsers have.
///
/// # Errors
/// If the cryptography that was compiled in has no version of TLS, which it has.
pub fn client<B>(
    roots: &[CertificateDer<'static>],
    schemes: Schemes,
) -> Result<Client<B>, rustls::Error>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut store = RootCertStore::empty();
    if roots.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store.add_parsable_certificates(roots.iter().cloned());
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    let builder = HttpsConnectorBuilder::new().with_tls_config(config);
    let builder = match schemes {
        Schemes::Https => builder.https_only(),
        Schemes::HttpToo => builder.https_or_http(),
    };
    Ok(legacy::Client::builder(TokioExecutor::new()).build(builder.enable_http1().build()))
}

/// Sends a request; returns the answer with its body unread.
///
/// # Errors
/// If none comes, in words. A server that puts interim answers (1xx) before it without end is given up, for
/// reading those costs a processor.
pub async fn exchange<B>(
    client: &Client<B>,
    mut request: Request<B>,
) -> Result<Response<Incoming>, String>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let is_too_much = Arc::new(Notify::new());
    let (count, told) = (AtomicU32::new(0), Arc::clone(&is_too_much));
    on_informational(&mut request, move |_| {
        if count.fetch_add(1, Ordering::Relaxed) >= MOST_INTERIM {
            told.notify_one();
        }
    });
    // Dropping the request closes its connection.
    tokio::select! {
        biased;
        () = is_too_much.notified() => Err("it sends interim answers without end".to_owned()),
        answer = client.request(request) => answer.map_err(|error| chain(&error)),
    }
}

/// The certificates in a file of PEM, to be believed as roots.
///
/// # Errors
/// If there is none, or one that cannot be a root: in words that follow the file's name.
pub fn roots_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let roots = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match roots {
        Err(_) => Err("which is not written as PEM"),
        Ok(roots) if roots.is_empty() => Err("which has no certificate"),
        Ok(roots)
            if RootCertStore::empty()
                .add_parsable_certificates(roots.clone())
                .1
                > 0 =>
        {
            Err("which has a certificate that cannot be read")
        }
        Ok(roots) => Ok(roots),
    }
}

/// An error and what is behind it, in words. Some say only what failed, and leave why to the next.
pub fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let own = error.to_string();
        if !words.contains(&own) {
            // Writing to a String does not fail.
            let _ = write!(words, ": {own}");
        }
        next = error.source();
    }
    words
}

/// Servers send one or two.
const MOST_INTERIM: u32 = 20;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn interim_answers_without_end_are_none_and_a_few_do_no_harm() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for interim in [2, 1000] {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
                let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(interim);
                let last = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                stream.write_all(early.as_bytes()).await.unwrap();
                stream.write_all(last.as_bytes()).await.unwrap();
            }
        });
        let client = client(&[], Schemes::HttpToo).unwrap();
        let ask = async || {
            let request = Request::get(&url).body(String::new()).unwrap();
            exchange(&client, request).await
        };
        assert_eq!(ask().await.unwrap().status(), 204);
        let error = ask().await.unwrap_err();
        assert_eq!(error, "it sends interim answers without end");
    }

    #[test]
    fn a_file_of_roots_has_certificates_and_nothing_else() {
        let issued = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let (pem, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
        assert_eq!(roots_in(pem.as_bytes()).unwrap().len(), 1);
        let two = format!("{pem}{pem}");
        assert_eq!(roots_in(two.as_bytes()).unwrap().len(), 2);
        let junk = format!("{pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        for wrong in ["", "<html>", &key, &junk] {
            roots_in(wrong.as_bytes()).unwrap_err();
        }
    }
}
