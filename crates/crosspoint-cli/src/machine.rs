//! How much memory the program may have.

use std::path::Path;

/// The memory of the machine, or of the control group that the program runs in if that has less, in
/// bytes. `None` where nothing says how much that is.
pub(crate) fn memory() -> Option<u64> {
    memory_under(Path::new("/"))
}

fn memory_under(root: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    let groups = read("proc/self/cgroup").unwrap_or_default();
    let in_groups =
        groups.lines().flat_map(|line| match line.splitn(3, ':').collect::<Vec<_>>()[..] {
            ["0", "", group] => limits("sys/fs/cgroup", group, "memory.max"),
            [_, kinds, group] if kinds.split(',').any(|kind| kind == "memory") => {
                limits("sys/fs/cgroup/memory", group, "memory.limit_in_bytes")
            }
            _ => Vec::new(),
        });
    // A word, or a number above all memory, stands for no limit.
    let in_groups = in_groups.filter_map(|path| number(&path));
    in_groups.chain(machine(&read("proc/meminfo").unwrap_or_default())).min()
}

/// The files with the limits of a group and of those that it is in.
fn limits(mount: &str, group: &str, file: &str) -> Vec<String> {
    let mut group = group.trim_matches('/');
    let mut paths = vec![format!("{mount}/{file}")];
    while !group.is_empty() {
        paths.push(format!("{mount}/{group}/{file}"));
        group = group.rsplit_once('/').map_or("", |(above, _)| above);
    }
    paths
}

fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn memory_with(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        memory_under(root.path())
    }

    #[test]
    fn the_smallest_of_machine_and_groups_is_what_there_is() {
        const MACHINE: (&str, &str) = ("proc/meminfo", "Buffers: 1 kB\nMemTotal:       2048 kB\n");
        let second = ("proc/self/cgroup", "0::/a.slice/b\n");
        assert_eq!(memory_with(&[]), None);
        assert_eq!(memory_with(&[MACHINE]), Some(2 << 20));
        assert_eq!(
            memory_with(&[MACHINE, second, ("sys/fs/cgroup/a.slice/b/memory.max", "max\n")]),
            Some(2 << 20)
        );
        assert_eq!(
            memory_with(&[MACHINE, second, ("sys/fs/cgroup/a.slice/memory.max", "4096\n")]),
            Some(4096)
        );
        assert_eq!(
            memory_with(&[MACHINE, second, ("sys/fs/cgroup/memory.max", "8192")]),
            Some(8192)
        );
        let first = ("proc/self/cgroup", "5:cpu:/x\n3:memory:/docker/1\n");
        let limit = |text| ("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", text);
        assert_eq!(memory_with(&[MACHINE, first, limit("4096")]), Some(4096));
        assert_eq!(memory_with(&[MACHINE, first, limit("9223372036854771712")]), Some(2 << 20));
    }
}
