//! Messages in a file.

use crate::messages::{Change, Entry, Kept, MessageStore, StoreError};
use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::{Path, PathBuf};

/// The messages: whom each is for and its number, and what it says.
const MESSAGES: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("messages");
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
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    database: Option<Database>,
}

impl Disk {
    /// Opens the file, or makes it. Its folder has to be there.
    ///
    /// # Errors
    /// [`StoreError::Open`], also if another program has it open; [`StoreError::Foreign`].
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
        match act(&database) {
            Ok(done) => {
                self.database = Some(database);
                Ok(done)
            }
            Err(error) => Err(StoreError::Failed(error.to_string())),
        }
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let shown = || path.display().to_string();
    let opened = Database::create(path);
    let database =
        opened.map_err(|error| StoreError::Open { path: shown(), why: error.to_string() })?;
    let form = prepare(&database)
        .map_err(|error| StoreError::Open { path: shown(), why: error.to_string() })?;
    match form {
        FORM_NOW => Ok(database),
        other => Err(StoreError::Foreign(format!("{}, in form {other}", shown()))),
    }
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
            // After a kill the file is there again at once, however large it is.
            write.set_quick_repair(true);
            {
                let mut messages = write.open_table(MESSAGES)?;
                let mut entries = write.open_table(ENTRIES)?;
                let mut facts = write.open_table(FACTS)?;
                for change in changes {
                    match change {
                        Change::Keep { entry, data } => {
                            let Entry { to, number, since_ms, bytes } = entry;
                            messages.insert((&**to, *number), &data[..])?;
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
                let (key, data) = message?;
                let data = data.value();
                bytes = bytes.saturating_add(data.len());
                if bytes > bytes_max && !kept.is_empty() {
                    break;
                }
                kept.push(Kept { number: key.value().1, data: Bytes::copy_from_slice(data) });
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
            let kept = mailboxes.read(to, from, usize::MAX).unwrap();
            kept.into_iter().map(|kept| (kept.number, kept.data)).collect::<Vec<_>>()
        };
        let kept = read(&mut mailboxes, "ann", 0);
        assert_eq!(kept, [(first, "a".into()), (first + 1, "b".into())]);
        assert_eq!(read(&mut mailboxes, "ann", first + 1).len(), 1);
        assert_eq!(read(&mut mailboxes, "ann\0", 0).len(), 1);
        for number in first..first + 3 {
            assert_eq!(mailboxes.forget("ann", number), number < first + 2);
        }
        mailboxes.forget("ann\0", first + 2);
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
}
