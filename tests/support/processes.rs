use std::{
    fs,
    path::Path,
    process::{Child, ExitStatus},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

/// The processes that carry `mark` in their arguments, their environment or their working folder, as `pid arguments`.
pub fn carrying(mark: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| described(&entry.path(), mark)).collect()
}

/// Asserts that nothing that carries `mark` runs any more within the three seconds that are promised.
pub fn wait_until_gone(mark: &str) {
    let gone = wait_until(Duration::from_secs(3), || carrying(mark).is_empty());
    assert!(gone, "still running: {:#?}", carrying(mark));
}

/// Whether `condition` holds within `limit`.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for the end of a process, no longer than `limit`; `stderr` is what it has said so far.
pub fn ended(process: &mut Child, limit: Duration, stderr: &Mutex<Vec<u8>>) -> ExitStatus {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        let said = || String::from_utf8_lossy(&stderr.lock().unwrap()).into_owned();
        assert!(Instant::now() < deadline, "the host does not end\n{}", said());
        thread::sleep(Duration::from_millis(5));
    }
}

fn described(process: &Path, mark: &str) -> Option<String> {
    let pid: u32 = process.file_name()?.to_str()?.parse().ok()?;
    if pid == std::process::id() {
        return None;
    }
    let arguments = fs::read(process.join("cmdline")).ok()?;
    let environment = fs::read(process.join("environ")).unwrap_or_default();
    let folder = fs::read_link(process.join("cwd")).unwrap_or_default();
    let carries = |bytes: &[u8]| bytes.windows(mark.len()).any(|window| window == mark.as_bytes());
    let found = carries(&arguments) || carries(&environment) || carries(folder.as_os_str().as_encoded_bytes());
    found.then(|| format!("{pid} {}", String::from_utf8_lossy(&arguments).replace('\0', " ")))
}
