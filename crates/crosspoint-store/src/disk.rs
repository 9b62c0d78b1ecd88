//! Messages in a file.

use crate::messages::{Change, Entry, Kept, MessageStore, StoreError};
use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The messages: whom each is for and its number; the [checksum] and what it says.
const MESSAGES: TableDefinition<'_, (&str, u64), (u32, &[u8])> = TableDefinition::new("messages");
/// What is known of each, by its number: whom it is for, since when it is kept, how many bytes it has.
const ENTRIES: TableDefinition<'_, u64, (&str, u64, u32)> = TableDefinition::new("entries");
/// Numbers under names.
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");

/// The fact that says how the file is written.
const FORM: &str = "form";
const FORM_NOW: u64 = 1;
/// The fact that is the next number of a message.
const NEXT: &str = "next";

/// Keeps messages in a file (redb), which one program has open at a time. A change is confirmed when the system says that
/// it is on the disk. After a failure the file is opened anew with the next change.
///
/// All of the file is read and checked when it is opened, and a damaged one is refused. Damage that is found later is an
/// error as well, and nothing damaged is given out.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    database: Option<Database>,
}

impl Disk {
    /// Opens the file, or makes it. Its folder has to be there.
    ///
    /// # Errors
    /// [`StoreError::Open`], also if another program has it open; [`StoreError::Damaged`], [`StoreError::Foreign`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let database = open(&path)?;
        Ok(Self { path, database: Some(database) })
    }

    /// Does something with the file. If that fails, the file is opened anew the next time: redb refuses all that comes
    /// after a failure of the disk.
    fn with<T>(
        &mut self,
        act: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        match guarded(|| act(&database)) {
            Ok(done) => {
                self.database = Some(database);
                Ok(done)
            }
            Err(error) => {
                close(database);
                Err(said(&self.path, error, |path, why| {
                    StoreError::Failed(format!("{path}: {why}"))
                }))
            }
        }
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let cannot = |error| said(path, error, |path, why| StoreError::Open { path, why });
    let mut builder = Database::builder();
    builder.set_check_integrity_on_open(true);
    let database = guarded(|| Ok(builder.create(path)?)).map_err(cannot)?;
    match guarded(|| prepare(&database)) {
        Ok(FORM_NOW) => Ok(database),
        Ok(other) => Err(StoreError::Foreign(format!("{}, in form {other}", path.display()))),
        Err(error) => {
            close(database);
            Err(cannot(error))
        }
    }
}

/// Closes a file that has failed.
fn close(database: Database) {
    // What has failed before says more than what fails now.
    let _ = guarded(move || {
        drop(database);
        Ok(())
    });
}

/// Does something with redb, which panics at some damage. What has panicked is not used any more.
fn guarded<T>(act: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(redb::Error::Corrupted(text.unwrap_or_else(|| "redb has panicked".to_owned())))
    })
}

/// What redb says of a file: that it is damaged, or something else.
fn said(
    path: &Path,
    error: redb::Error,
    other: impl FnOnce(String, String) -> StoreError,
) -> StoreError {
    let path = path.display().to_string();
    match error {
        redb::Error::Corrupted(why) => StoreError::Damaged { path, why },
        error => other(path, error.to_string()),
    }
}

/// Of a message. redb checks its own when a file is opened, but not when it reads.
fn checksum(to: &str, number: u64, data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [to.as_bytes(), &number.to_le_bytes(), data] {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Makes the tables, if they are not there. Gives the form of the file.
fn prepare(database: &Database) -> Result<u64, redb::Error> {
    let write = database.begin_write()?;
    let form = {
        write.open_table(MESSAGES)?;
        write.open_table(ENTRIES)?;
        let mut facts = write.open_table(FACTS)?;
        let form = facts.get(FORM)?.map(|form| form.value());
        match form {
            Some(form) => form,
            None => {
                facts.insert(FORM, FORM_NOW)?;
                FORM_NOW
            }
        }
    };
    write.commit()?;
    Ok(form)
}

impl MessageStore for Disk {
    fn survey(&mut self, each: &mut dyn FnMut(Entry)) -> Result<u64, StoreError> {
        self.with(|database| {
            let read = database.begin_read()?;
            for entry in read.open_table(ENTRIES)?.iter()? {
                let (number, entry) = entry?;
                let (to, since_ms, bytes) = entry.value();
                each(Entry { to: to.into(), number: number.value(), since_ms, bytes });
            }
            let next = read.open_table(FACTS)?.get(NEXT)?;
            Ok(next.map_or(0, |next| next.value()))
        })
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.with(|database| {
            let mut write = database.begin_write()?;
            // So that damage is told apart from a change that was not finished, and is never undone in silence.
            write.set_two_phase_commit(true);
            {
                let mut messages = write.open_table(MESSAGES)?;
                let mut entries = write.open_table(ENTRIES)?;
                let mut facts = write.open_table(FACTS)?;
                for change in changes {
                    match change {
                        Change::Keep { entry, data } => {
                            let Entry { to, number, since_ms, bytes } = entry;
                            let checksum = checksum(to, *number, data);
                            messages.insert((&**to, *number), (checksum, &data[..]))?;
                            entries.insert(*number, (&**to, *since_ms, *bytes))?;
                            facts.insert(NEXT, number.saturating_add(1))?;
                        }
                        Change::Forget { to, number } => {
                            messages.remove((&**to, *number))?;
                            entries.remove(*number)?;
                        }
                    }
                }
            }
            write.commit()?;
            Ok(())
        })
    }

    fn read(&mut self, to: &str, from: u64, bytes_max: usize) -> Result<Vec<Kept>, StoreError> {
        self.with(|database| {
            let read = database.begin_read()?;
            let messages = read.open_table(MESSAGES)?;
            let (mut kept, mut bytes) = (Vec::new(), 0_usize);
            for message in messages.range((to, from)..=(to, u64::MAX))? {
                let (key, message) = message?;
                let (number, (sum, data)) = (key.value().1, message.value());
                if sum != checksum(to, number, data) {
                    let why = format!("message {number} for {to:?} is not what was kept");
                    return Err(redb::Error::Corrupted(why));
                }
                bytes = bytes.saturating_add(data.len());
                if bytes > bytes_max && !kept.is_empty() {
                    break;
                }
                kept.push(Kept { number, data: Bytes::copy_from_slice(data) });
            }
            Ok(kept)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bounds, Mailboxes};

    fn open_mailboxes(path: &Path) -> Mailboxes<Disk> {
        Mailboxes::open(Disk::open(path).unwrap(), Bounds::default()).unwrap()
    }

    #[test]
    fn messages_are_there_when_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("messages");
        let mut mailboxes = open_mailboxes(&path);
        let first = mailboxes.keep(5, "ann", "a".into()).unwrap();
        mailboxes.keep(6, "ann", "b".into()).unwrap();
        mailboxes.keep(7, "ann\0", "c".into()).unwrap();
        mailboxes.commit().unwrap();
        mailboxes.keep(8, "ann", "never confirmed".into()).unwrap();
        drop(mailboxes);

        let mut mailboxes = open_mailboxes(&path);
        assert_eq!(mailboxes.usage(), (3, 3));
        let read = |mailboxes: &mut Mailboxes<Disk>, to, from| {
            let kept = mailboxes.read(9, to, from, usize::MAX).unwrap();
            kept.into_iter().map(|kept| (kept.number, kept.data)).collect::<Vec<_>>()
        };
        let kept = read(&mut mailboxes, "ann", 0);
        assert_eq!(kept, [(first, "a".into()), (first + 1, "b".into())]);
        assert_eq!(read(&mut mailboxes, "ann", first + 1).len(), 1);
        assert_eq!(read(&mut mailboxes, "ann\0", 0).len(), 1);
        for number in first..first + 3 {
            assert_eq!(mailboxes.forget("ann", number).unwrap(), number < first + 2);
        }
        assert!(mailboxes.forget("ann\0", first + 2).unwrap());
        mailboxes.commit().unwrap();
        drop(mailboxes);

        // No number is given twice, even if nothing is left.
        let mut mailboxes = open_mailboxes(&path);
        assert_eq!(mailboxes.usage(), (0, 0));
        assert!(mailboxes.keep(9, "ann", "d".into()).unwrap() > first + 2);
    }

    #[test]
    fn a_file_is_open_once_and_what_is_no_store_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("messages");
        let open = Disk::open(&path).unwrap();
        assert!(matches!(Disk::open(&path), Err(StoreError::Open { .. })));
        drop(open);
        {
            let database = Database::create(&path).unwrap();
            let write = database.begin_write().unwrap();
            write.open_table(FACTS).unwrap().insert(FORM, 2).unwrap();
            write.commit().unwrap();
        }
        assert!(matches!(Disk::open(&path), Err(StoreError::Foreign(_))));
        assert!(matches!(Disk::open(folder.path()), Err(StoreError::Open { .. })));
        std::fs::write(&path, b"something else").unwrap();
        assert!(matches!(Disk::open(&path), Err(StoreError::Open { .. })));
    }

    #[test]
    fn a_damaged_file_is_refused_by_its_name_and_gives_out_nothing_else_than_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("messages");
        let text = |number: u64| format!("{number:04}").repeat(300);
        let mut mailboxes = open_mailboxes(&path);
        for number in 0..60 {
            let to = ["ann", "bob", "carl"][number as usize % 3];
            assert_eq!(mailboxes.keep(5, to, text(number).into()).unwrap(), number);
            if number % 6 == 5 {
                mailboxes.commit().unwrap();
            }
        }
        drop(mailboxes);
        let clean = std::fs::read(&path).unwrap();

        let mut refused = 0;
        for (page, start) in (0..clean.len()).step_by(4096).enumerate() {
            let mut damaged = clean.clone();
            match page % 2 {
                0 => damaged[start..start + 4096].fill(0),
                _ => damaged[start + 1000] ^= 4,
            }
            std::fs::write(&path, damaged).unwrap();
            let opened =
                Disk::open(&path).and_then(|disk| Mailboxes::open(disk, Bounds::default()));
            match opened {
                Ok(mut mailboxes) => {
                    for to in ["ann", "bob", "carl"] {
                        let kept = mailboxes.read(5, to, 0, usize::MAX).unwrap();
                        assert_eq!(kept.len(), 20, "page {page}");
                        assert!(kept.iter().all(|kept| kept.data == text(kept.number)));
                    }
                }
                Err(
                    StoreError::Damaged { path: named, .. } | StoreError::Open { path: named, .. },
                ) => {
                    assert_eq!(named, path.display().to_string());
                    refused += 1;
                }
                Err(other) => panic!("page {page}: {other}"),
            }
        }
        assert!(refused > 20, "{refused}");
    }

    #[test]
    fn a_message_that_has_changed_is_not_given_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Disk::open(folder.path().join("messages")).unwrap();
        for (number, to) in ["ann", "bob"].into_iter().enumerate() {
            let entry = Entry { to: to.into(), number: number as u64, since_ms: 5, bytes: 1 };
            disk.apply(&[Change::Keep { entry, data: "a".into() }]).unwrap();
        }
        let write = disk.database.as_ref().unwrap().begin_write().unwrap();
        let sum = checksum("ann", 0, b"a");
        write.open_table(MESSAGES).unwrap().insert(("ann", 0), (sum, &b"A"[..])).unwrap();
        write.commit().unwrap();
        let read = disk.read("ann", 0, usize::MAX);
        assert!(matches!(read, Err(StoreError::Damaged { .. })), "{read:?}");
        assert_eq!(disk.read("bob", 0, usize::MAX).unwrap().len(), 1);
    }
}
