//! Whole folders on the disk: how large, sealed, gone.

use std::{
    fs::{self, Metadata},
    io,
    path::Path,
};

/// Bytes that a folder takes on the disk. What vanishes meanwhile counts for nothing: somebody may be writing there.
pub(super) fn measure(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() { measure(&entry.path()) } else { 0 } + taken(&metadata))
    });
    sizes.sum()
}

/// Takes the right to write from everybody, so that no server changes what others run. Answers as [`measure`] does.
pub(super) fn seal(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    each(folder, &mut |path| {
        let metadata = path.metadata()?;
        bytes += taken(&metadata);
        let mut permissions = metadata.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(path, permissions)
    })?;
    Ok(bytes)
}

/// Removes a folder as far as possible, sealed or not; what stays counts for nothing.
pub(super) fn remove(folder: &Path) {
    let writable = each(folder, &mut |path| {
        #[cfg(unix)]
        if path.is_dir() {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        }
        #[cfg(not(unix))]
        {
            let mut permissions = path.metadata()?.permissions();
            #[expect(clippy::permissions_set_readonly_false, reason = "a read-only file cannot be removed there")]
            permissions.set_readonly(false);
            fs::set_permissions(path, permissions)?;
        }
        Ok(())
    });
    if let Err(error) = writable.and_then(|()| fs::remove_dir_all(folder)) {
        tracing::warn!(folder = %folder.display(), %error, "a folder of the cache was not removed");
    }
}

#[cfg(unix)]
fn taken(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(metadata) * 512
}

#[cfg(not(unix))]
fn taken(metadata: &Metadata) -> u64 {
    metadata.len()
}

/// Every file and folder below, the folder itself last; links are left alone, since they lead elsewhere.
fn each(folder: &Path, act: &mut impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            each(&entry.path(), act)?;
        } else if kind.is_file() {
            act(&entry.path())?;
        }
    }
    act(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_measured_and_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("lib")).unwrap();
        fs::write(root.join("lib/module"), vec![1; 300_000]).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/", root.join("link")).unwrap();
        let bytes = seal(&root).unwrap();
        assert!((300_000..400_000).contains(&bytes) && measure(&root).abs_diff(bytes) <= 8192, "{bytes}");
        assert!(root.join("lib/module").metadata().unwrap().permissions().readonly());
        remove(&root);
        assert!(!root.exists());
    }
}
