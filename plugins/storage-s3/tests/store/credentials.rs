use std::{fs, process::Command};

use perennial_sdk::Expected;
use serde_json::json;

use crate::{canned::answering, host::Host, s3::Store};

/// Does `work` with a store whose keys come by `variables`, in a process of its own: the environment is one for all.
fn elsewhere(test: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("credentials::{test}"), "--nocapture"])
        .env_clear()
        .env("ELSEWHERE", "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

/// Saves with whatever credentials there are, and says what came of it.
async fn save_here() {
    let mut config = json!({ "bucket": "servers", "endpoint": std::env::var("ENDPOINT").unwrap() });
    config["conditional_writes"] = json!("unsafe-single-writer");
    if let Ok(profile) = std::env::var("PROFILE") {
        config["profile"] = profile.into();
    }
    let host = Host::open(&config).await;
    match host.put("server-a", "a", Expected::Any).await {
        Ok(version) => eprintln!("saved as {version}"),
        Err(error) => eprintln!("failed: {error}; {}", error.hint.as_deref().unwrap()),
    }
}

#[tokio::test]
async fn they_come_from_a_web_identity_or_a_container() {
    if std::env::var("ELSEWHERE").is_ok() {
        return save_here().await;
    }
    let store = Store::rclone();
    let (endpoint, folder) = (store.endpoint(), tempfile::tempdir().unwrap());
    let token = folder.path().join("token");
    fs::write(&token, "t0ken").unwrap();
    let run = |variables: &[(&str, &str)]| {
        let all = [&[("ENDPOINT", endpoint.as_str()), ("HOME", "/nonexistent")], variables].concat();
        elsewhere("they_come_from_a_web_identity_or_a_container", &all)
    };
    let given = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                 <SessionToken>session</SessionToken><SecretAccessKey>secret-of-everything</SecretAccessKey>\
                 <Expiration>2099-01-01T00:00:00Z</Expiration><AccessKeyId>everything</AccessKeyId>\
                 </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
    let (token, sts) = (token.to_str().unwrap(), answering("200 OK", given));
    let identity = [("AWS_WEB_IDENTITY_TOKEN_FILE", token), ("AWS_ROLE_ARN", "arn:r")];
    assert!(run(&[identity[0], identity[1], ("AWS_ENDPOINT_URL_STS", &sts)]).contains("saved as 1"));
    let given = json!({
        "AccessKeyId": "everything", "SecretAccessKey": "secret-of-everything", "Token": "session",
        "Expiration": "2099-01-01T00:00:00Z",
    });
    let container = answering("200 OK", &given.to_string());
    let pod =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.as_str()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token)];
    assert!(run(&pod).contains("saved as 2"));
    let denied = answering("403 Forbidden", "no");
    let failed = run(&[identity[0], identity[1], ("AWS_ENDPOINT_URL_STS", &denied)]);
    assert!(
        failed.contains("the credentials for the bucket `servers`") && failed.contains("cannot be had"),
        "{failed}"
    );
    assert!(!failed.contains("t0ken"), "{failed}");
}

#[tokio::test]
async fn they_come_from_the_environment_or_a_profile() {
    if std::env::var("ELSEWHERE").is_ok() {
        return save_here().await;
    }
    let store = Store::seaweedfs();
    let endpoint = store.endpoint();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    fs::create_dir_all(folder.path().join(".aws/sso/cache")).unwrap();
    let profile =
        |name: &str| format!("[{name}]\naws_access_key_id=everything\naws_secret_access_key=secret-of-everything\n");
    fs::write(folder.path().join(".aws/credentials"), profile("default") + &profile("work")).unwrap();
    let config = "[profile sso]\nsso_start_url = https://x.example.com/start\nsso_region = eu-west-1\n\
                  sso_account_id = 1\nsso_role_name = r\n[profile role]\nrole_arn = arn:x\nsource_profile = work\n";
    fs::write(folder.path().join(".aws/config"), config).unwrap();
    let run = |variables: &[(&str, &str)]| {
        let all = [&[("ENDPOINT", endpoint.as_str()), ("HOME", home)], variables].concat();
        elsewhere("they_come_from_the_environment_or_a_profile", &all)
    };
    assert!(run(&[]).contains("saved as 1"), "the default profile");
    assert!(run(&[("PROFILE", "work")]).contains("saved as 2"));
    assert!(run(&[("AWS_PROFILE", "work")]).contains("saved as 3"));
    let keys = [("AWS_ACCESS_KEY_ID", "everything"), ("AWS_SECRET_ACCESS_KEY", "secret-of-everything")];
    assert!(run(&[keys[0], keys[1], ("HOME", "/nonexistent")]).contains("saved as 4"));
    let unknown = run(&[("PROFILE", "nobody")]);
    assert!(unknown.contains("there is no profile `nobody`"), "{unknown}");
    let signed_out = run(&[("PROFILE", "sso")]);
    assert!(signed_out.contains("aws sso login --profile sso"), "{signed_out}");
    let role = run(&[("PROFILE", "role")]);
    assert!(role.contains("`role_arn`") && role.contains("export-credentials"), "{role}");
    let none = run(&[("HOME", "/nonexistent"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")]);
    assert!(none.contains("there are no credentials") && none.contains("access_key_id"), "{none}");
}
