//! The account at an authority: opened once, kept, and found again. RFC 8555 §7.3.

use instant_acme::{Account, ExternalAccountKey, NewAccount};

use crate::http::Http;
use crate::store::{KeptAccount, Store};
use crate::{Failure, Wanted};

/// An account, and what could not be kept of it.
pub(crate) struct Opened {
    pub(crate) account: Account,
    pub(crate) not_kept: Option<String>,
}

/// The account that was kept.
pub(crate) async fn known(
    wanted: &Wanted,
    store: &Store,
    http: &Http,
) -> Result<Option<Account>, Failure> {
    // One that cannot be read is as good as none: the next one takes its place.
    let kept = store.account(wanted).await.unwrap_or_default();
    let Some(KeptAccount {
        credentials,
        contact,
    }) = kept
    else {
        return Ok(None);
    };
    let copy = serde_json::to_value(&credentials).ok();
    let builder = Account::builder_with_http(Box::new(http.clone()));
    let account = builder.from_credentials(credentials).await?;
    if contact != wanted.contact {
        let contacts: Vec<&str> = wanted.contact.iter().map(String::as_str).collect();
        account.update_contacts(&contacts).await?;
        if let Some(credentials) = copy.and_then(|copy| serde_json::from_value(copy).ok()) {
            let contact = wanted.contact.clone();
            // Told again when the certificate cannot be kept either.
            let account = KeptAccount {
                credentials,
                contact,
            };
            let _ = store.keep_account(wanted, account).await;
        }
    }
    Ok(Some(account))
}

/// A new account, which is kept. To open one is to agree to the authority's terms.
pub(crate) async fn open(wanted: &Wanted, store: &Store, http: &Http) -> Result<Opened, Failure> {
    let contacts: Vec<&str> = wanted.contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contacts,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let external = wanted.external_account.as_ref();
    let external = external.map(|it| ExternalAccountKey::new(it.id.clone(), &it.key));
    let builder = Account::builder_with_http(Box::new(http.clone()));
    let created = builder.create(&new, wanted.directory.clone(), external.as_ref());
    let (account, credentials) = created.await?;
    let contact = wanted.contact.clone();
    let opened = KeptAccount {
        credentials,
        contact,
    };
    let kept = store.keep_account(wanted, opened).await;
    Ok(Opened {
        account,
        not_kept: kept.err().map(|error| error.to_string()),
    })
}
