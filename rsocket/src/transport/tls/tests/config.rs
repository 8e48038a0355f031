//! Which files are taken, and what is said of others.

use super::*;

fn server(chain: &[u8], key: &[u8]) -> TlsError {
    ServerTls::from_pem(chain, key).unwrap_err()
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(server(b"", KEY), TlsError::NoCertificate);
    assert_eq!(server(KEY, KEY), TlsError::NoCertificate);
    assert_eq!(server(CERTIFICATE, CERTIFICATE), TlsError::NoKey);
    assert_eq!(ClientTls::with_roots_pem(KEY).unwrap_err(), TlsError::NoCertificate);
}

#[test]
fn a_key_must_fit_the_first_certificate() {
    assert_eq!(server(CA, KEY), TlsError::KeyMismatch);
    assert_eq!(server(&[CA, CERTIFICATE].concat(), KEY), TlsError::KeyMismatch);
    assert!(ServerTls::from_pem(&[CERTIFICATE, CA].concat(), KEY).is_ok());
    // Both may be in one file.
    let both = [KEY, CERTIFICATE].concat();
    assert!(ServerTls::from_pem(&both, &both).is_ok());
}

#[test]
fn broken_files_are_refused() {
    let cut = &CERTIFICATE[..CERTIFICATE.len() / 2];
    assert!(matches!(server(cut, KEY), TlsError::Pem(_)), "{}", server(cut, KEY));
    let wrong = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(server(wrong, KEY), TlsError::Unusable(_)), "{}", server(wrong, KEY));
    assert!(matches!(ClientTls::with_roots_pem(wrong).unwrap_err(), TlsError::Unusable(_)));
    let wrong = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(server(CERTIFICATE, wrong), TlsError::Unusable(_)));
}

#[test]
fn a_key_is_never_shown() {
    assert_eq!(format!("{:?} {:?}", server_tls(), client_tls()), "ServerTls ClientTls");
}
