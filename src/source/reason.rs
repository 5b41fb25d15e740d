//! What the system said, in words that name the way out.

use std::{fs::FileType, io, os::unix::fs::FileTypeExt};

use rustix::io::Errno;

use super::scan::Behind;

/// Whether the path was there a moment ago and is not any more.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What is behind something that could not be looked at: a link that the system refuses to follow may
/// lead to a directory full of manifests.
pub(super) fn behind(error: &io::Error) -> Behind {
    let is_round = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
    if is_round || is_gone(error) { Behind::Nothing } else { Behind::Unknown }
}

/// Why a file or directory could not be read.
pub(super) fn of_error(error: &io::Error) -> String {
    let Some(code) = error.raw_os_error() else { return error.to_string() };
    match Errno::from_raw_os_error(code) {
        Errno::ACCESS | Errno::PERM => {
            "permission denied: let the user that tintal runs as read it".to_owned()
        }
        Errno::LOOP => "its symbolic links lead round in a circle".to_owned(),
        Errno::NOENT => "it does not exist".to_owned(),
        Errno::NAMETOOLONG => "its path is too long for this system".to_owned(),
        Errno::MFILE | Errno::NFILE => format!("too many open files: raise the limit ({error})"),
        _ => error.to_string(),
    }
}

/// Why a symbolic link could not be followed; `target` as it is written in the link.
pub(super) fn of_link(error: &io::Error, target: &str) -> String {
    if is_gone(error) {
        format!("it is a symbolic link to `{target}`, which does not exist")
    } else {
        of_error(error)
    }
}

/// Why something of this type is not read as a file.
pub(super) fn of_type(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "it is a directory with the name of a manifest"
    } else if kind.is_fifo() {
        "it is a FIFO, not a file"
    } else if kind.is_socket() {
        "it is a socket, not a file"
    } else {
        "it is a device, not a file"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Root may read everything, so the refusal is made here instead of by `chmod 000`.
    #[test]
    fn each_refusal_of_the_system_has_its_words() {
        let says = |code: Errno| of_error(&io::Error::from(code));
        assert_eq!(says(Errno::ACCESS), "permission denied: let the user that tintal runs as read it");
        assert_eq!(says(Errno::PERM), says(Errno::ACCESS));
        assert_eq!(says(Errno::LOOP), "its symbolic links lead round in a circle");
        assert_eq!(says(Errno::NOENT), "it does not exist");
        assert_eq!(says(Errno::IO), "Input/output error (os error 5)");
        assert!(says(Errno::MFILE).starts_with("too many open files: raise the limit"));
        assert_eq!(of_error(&io::Error::other("odd")), "odd");
    }

    /// F12: unknown is not empty.
    #[test]
    fn only_what_leads_nowhere_is_known_to_hide_nothing() {
        let behind = |code: Errno| behind(&io::Error::from(code));
        for code in [Errno::NOENT, Errno::NOTDIR, Errno::LOOP] {
            assert_eq!(behind(code), Behind::Nothing, "{code}");
        }
        for code in [Errno::ACCESS, Errno::PERM, Errno::IO, Errno::NAMETOOLONG, Errno::STALE] {
            assert_eq!(behind(code), Behind::Unknown, "{code}");
        }
    }

    #[test]
    fn a_dangling_link_names_its_target() {
        let dangling = of_link(&io::Error::from(Errno::NOENT), "../gone");
        assert_eq!(dangling, "it is a symbolic link to `../gone`, which does not exist");
        let refused = of_link(&io::Error::from(Errno::ACCESS), "../gone");
        assert_eq!(refused, "permission denied: let the user that tintal runs as read it");
    }
}
