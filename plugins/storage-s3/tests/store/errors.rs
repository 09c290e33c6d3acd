use std::process::Command;

use insta::assert_snapshot;
use perennial_sdk::{Error, ErrorCode, Expected};
use serde_json::{Value, json};

use crate::{
    canned::{answering, document},
    host::{Host, shown},
    s3::{Store, installed, unused_address},
};

fn impatient(mut config: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config["timeout_s"] = json!(0.3);
    config["deadline_s"] = json!(0.6);
    config
}

fn at(endpoint: &str) -> Value {
    let config = json!({ "bucket": "servers", "access_key_id": "AKIA-KEY", "secret_access_key": "s3cret" });
    impatient(config, json!({ "endpoint": endpoint }))
}

async fn listing(config: &Value) -> Error {
    no_secret(Host::open(config).await.list().await.unwrap_err())
}

async fn saving(config: &Value) -> Error {
    no_secret(Host::open(config).await.put("server-a", "a", Expected::Any).await.unwrap_err())
}

fn no_secret(error: Error) -> Error {
    let all = format!("{error:?}");
    assert!(!all.contains("s3cret") && !all.contains("AKIA-KEY") && !all.contains("secret-of"), "{all}");
    error
}

#[tokio::test]
async fn what_a_real_store_refuses_is_a_sentence_each() {
    let store = Store::seaweedfs();
    let here = store.endpoint();
    let wrong = |changes| impatient(store.config(), changes);
    let snapshot = |error: Error| shown(&error, &here);
    let unknown = listing(&wrong(json!({ "access_key_id": "nobody" }))).await;
    assert_snapshot!("wrong_key", snapshot(unknown));
    let secret = listing(&wrong(json!({ "secret_access_key": "wrong" }))).await;
    assert_snapshot!("wrong_secret", snapshot(secret));
    let bucket = json!({ "bucket": "no-such-bucket" });
    assert_snapshot!("wrong_bucket", snapshot(listing(&wrong(bucket.clone())).await));
    let bucket_of_save = saving(&wrong(bucket)).await;
    assert_ne!(bucket_of_save.code, ErrorCode::NotFound, "a missing bucket is no missing server");
    assert_snapshot!("no_list", snapshot(listing(&store.config_of("no-list")).await));
    assert_snapshot!("no_write", snapshot(saving(&store.config_of("reader")).await));
    assert_snapshot!("nothing_allowed", snapshot(listing(&store.config_of("nothing")).await));
    let virtual_host = listing(&wrong(json!({ "addressing": "virtual" }))).await;
    assert!(virtual_host.hint.is_some(), "{virtual_host:?}");
}

#[tokio::test]
async fn what_stores_elsewhere_say_is_a_sentence_each() {
    let region = "<Region>eu-west-3</Region>";
    let cases = [
        (
            "region_malformed",
            "400 Bad Request",
            document("AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-west-3'", region),
        ),
        (
            "region_moved",
            "301 Moved Permanently\r\nx-amz-bucket-region: eu-west-3",
            document("PermanentRedirect", "must be addressed using the specified endpoint", ""),
        ),
        (
            "clock",
            "403 Forbidden\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT",
            document(
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
                "",
            ),
        ),
        ("expired", "400 Bad Request", document("ExpiredToken", "The provided token has expired.", "")),
        ("overloaded", "503 Slow Down", document("SlowDown", "Please reduce your request rate.", "")),
        ("fault", "500 Internal Server Error", document("InternalError", "We encountered an internal error.", "")),
        (
            "full",
            "507 Insufficient Storage",
            document("XMinioStorageFull", "Storage backend has reached its minimum", ""),
        ),
        ("old_store", "501 Not Implemented", document("NotImplemented", "A header implies functionality", "")),
        ("no_s3_at_all", "404 Not Found", "<html>nginx</html>".into()),
        ("nonsense", "200 OK", "<html>a login page</html>".into()),
    ];
    for (name, head, body) in cases {
        let endpoint = answering(head, &body);
        assert_snapshot!(name, shown(&listing(&at(&endpoint)).await, &endpoint));
    }
}

#[tokio::test]
async fn silence_is_a_sentence_each() {
    let refused = format!("http://{}", unused_address());
    assert_snapshot!("refused", shown(&listing(&at(&refused)).await, &refused));
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hole = format!("http://{}", hole.local_addr().unwrap());
    let late = listing(&at(&hole)).await;
    assert!(late.message.contains(&hole) && late.hint.is_some(), "{late:?}");
    let unknown = listing(&at("https://store.invalid")).await;
    assert_snapshot!("unknown_host", format!("{}\nhint: {}", unknown.message, unknown.hint.unwrap()));
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_ca_file_makes_it_so() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(installed("python")).arg("-c").arg(CERTIFICATES).current_dir(&folder).status().unwrap();
    assert!(made.success());
    let store = Store::seaweedfs_with_tls(&folder.path().join("store.pem"), &folder.path().join("store.key"));
    let config = impatient(store.config(), json!({ "timeout_s": 5 }));
    let error = listing(&config).await;
    assert_snapshot!("untrusted", shown(&error, &store.endpoint()));
    let trusting = json!({ "bucket": config["bucket"], "ca_file": folder.path().join("ca.pem") });
    let mut trusted = store.config();
    trusted["ca_file"] = trusting["ca_file"].clone();
    let host = Host::open(&trusted).await;
    host.put("server-a", "over TLS", Expected::New).await.unwrap();
    assert_eq!(host.code("server-a").await.unwrap(), "over TLS");
}

/// An authority in `ca.pem`, and a certificate of it for the loopback address in `store.pem` and `store.key`.
const CERTIFICATES: &str = r#"
import datetime, ipaddress
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
now = datetime.datetime.now(datetime.timezone.utc)
def make(name, issuer, signer, key, *extensions):
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=2))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
def name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
authority, store = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
open("ca.pem", "wb").write(make(name("ca"), name("ca"), authority, authority, (x509.BasicConstraints(True, None), True)))
open("store.pem", "wb").write(make(name("store"), name("ca"), authority, store, (address, False)))
open("store.key", "wb").write(store.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
"#;
