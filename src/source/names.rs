//! Which names in the tree are manifests, and which are nobody's business.
//!
//! Pure.

/// Whether a file of this name is a manifest: it ends in `.yaml` or `.yml`, in letters of any
/// case, and is not [ignored](is_ignored).
#[must_use]
pub fn is_manifest(name: &str) -> bool {
    let ending = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, ending)| ending);
    let is_yaml = |ending: &str| ["yaml", "yml"].iter().any(|yaml| ending.eq_ignore_ascii_case(yaml));
    ending.is_some_and(is_yaml) && !is_ignored(name)
}

/// Whether the name is hidden, or is one that editors and file systems make for themselves.
///
/// Hidden names are also what Kubernetes (`..data`), git and rsync (`.report.yaml.Xy12Zw`) use for
/// what is not meant to be read yet.
#[must_use]
pub fn is_ignored(name: &str) -> bool {
    name.starts_with('.')
        || name.ends_with('~')
        || (name.starts_with('#') && name.ends_with('#'))
        || [".swp", ".swo", ".swx"].iter().any(|ending| name.ends_with(ending))
        // vim tries whether it can write to the directory with this one.
        || name == "4913"
        // ext4 makes it at the top of a volume, readable for root only.
        || name == "lost+found"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_told_from_the_rest_by_name() {
        for name in ["a.yaml", "a.yml", "a.b.yaml", "a.YAML", "B.Yml", "4913.yaml", "#a.yaml", "ä.yaml"] {
            assert!(is_manifest(name), "{name}");
        }
        for name in [
            "a.yaml~",
            "#a.yaml#",
            ".a.yaml",
            ".a.yaml.swp",
            "a.yaml.swp",
            "4913",
            "..data",
            "a.json",
            "yaml",
            ".yaml",
            "a.yaml.bak",
            ".a.yaml.X1y2Z3",
        ] {
            assert!(!is_manifest(name), "{name}");
        }
    }

    #[test]
    fn hidden_and_temporary_names_are_ignored() {
        for name in [".git", "..2026_11_24", "a~", "#a#", "a.swp", "4913", "lost+found"] {
            assert!(is_ignored(name), "{name}");
        }
        for name in ["a", "team.d", "data..", "14913", "a#"] {
            assert!(!is_ignored(name), "{name}");
        }
    }
}
