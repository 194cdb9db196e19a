//! The only module that names RocksDB: columns, typed tables, batches, format number.
//!
//! Whatever may not be lost is written in one synced batch before its effect is started.

mod error;
mod table;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

pub use error::StoreError;
use rocksdb::{DBWithThreadMode, MultiThreaded, Options, WriteBatch, WriteOptions};
use serde::{Serialize, de::DeserializeOwned};
pub use table::{Key, Table};

/// Number of the on-disk format. A step from each older number is added when this one grows.
pub const FORMAT: u32 = 1;
const META: &str = "meta";
const FORMAT_KEY: &[u8] = b"format";
/// Open files RocksDB may hold. Too low slows reads, too high exhausts descriptors where nine nodes share a machine.
const MAX_OPEN_FILES: i32 = 256;

type Db = DBWithThreadMode<MultiThreaded>;

/// A node's database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    db: Arc<Db>,
    /// Serialises check-and-record writes; the process holds the database's lock, so this is enough.
    exclusive: Arc<Mutex<()>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.db.path()).finish()
    }
}

/// Writes that become visible and durable together.
#[derive(Default)]
pub struct Batch {
    operations: Vec<Operation>,
}

enum Operation {
    Put { column: &'static str, key: Vec<u8>, value: Vec<u8> },
    Delete { column: &'static str, key: Vec<u8> },
}

impl Batch {
    pub fn put<K: Key, V: Serialize>(&mut self, table: &Table<K, V>, key: &K, value: &V) -> Result<(), StoreError> {
        self.operations.push(Operation::Put { column: table.name(), key: key.to_bytes(), value: table.encode(value)? });
        Ok(())
    }

    pub fn delete<K: Key, V>(&mut self, table: &Table<K, V>, key: &K) {
        self.operations.push(Operation::Delete { column: table.name(), key: key.to_bytes() });
    }

    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

impl Store {
    /// Opens or creates the database at `path` with one column per name in `columns`.
    pub fn open(path: &Path, columns: &[&'static str]) -> Result<Self, StoreError> {
        std::fs::create_dir_all(path).map_err(|source| StoreError::Directory { path: path.into(), source })?;
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_open_files(MAX_OPEN_FILES);
        options.set_keep_log_file_num(2);
        // A column that an older or newer build wrote must still be opened, or RocksDB refuses the whole database.
        let mut names: Vec<String> = Db::list_cf(&options, path).unwrap_or_default();
        for name in columns.iter().copied().chain([META]) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_string());
            }
        }
        let db = Db::open_cf(&options, path, &names).map_err(|source| StoreError::from_open(path, source))?;
        let store = Self { db: Arc::new(db), exclusive: Arc::default() };
        store.check_format(path)?;
        Ok(store)
    }

    /// Opens an existing database to look at it, also while its node runs; shows it as it was at that moment. Writes fail.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let options = Options::default();
        let failed = |source| StoreError::from_open(path, source);
        let names = Db::list_cf(&options, path).map_err(failed)?;
        let db = Db::open_cf_for_read_only(&options, path, &names, false).map_err(failed)?;
        Ok(Self { db: Arc::new(db), exclusive: Arc::default() })
    }

    /// The format of an existing database that this build can use. Nothing is written, also while its node runs.
    pub fn format_of(path: &Path) -> Result<u32, StoreError> {
        let store = Self::open_read_only(path)?;
        let meta = store.column(META)?;
        let found = store.db.get_cf(&meta, FORMAT_KEY).map_err(StoreError::Io)?;
        let found = found.and_then(|bytes| bytes.as_slice().try_into().map(u32::from_be_bytes).ok()).unwrap_or(0);
        if found == FORMAT { Ok(found) } else { Err(StoreError::Format { path: path.into(), found, supported: FORMAT }) }
    }

    fn check_format(&self, path: &Path) -> Result<(), StoreError> {
        let meta = self.column(META)?;
        match self.db.get_cf(&meta, FORMAT_KEY).map_err(StoreError::Io)? {
            None => self.db.put_cf_opt(&meta, FORMAT_KEY, FORMAT.to_be_bytes(), &synced()).map_err(StoreError::Io),
            Some(bytes) => {
                let found = bytes.as_slice().try_into().map(u32::from_be_bytes).unwrap_or(0);
                if found == FORMAT {
                    return Ok(());
                }
                Err(StoreError::Format { path: path.into(), found, supported: FORMAT })
            }
        }
    }

    pub fn get<K: Key, V: DeserializeOwned>(&self, table: &Table<K, V>, key: &K) -> Result<Option<V>, StoreError> {
        let column = self.column(table.name())?;
        let bytes = self.db.get_cf(&column, key.to_bytes()).map_err(StoreError::Io)?;
        bytes.map(|bytes| table.decode(&bytes)).transpose()
    }

    /// Durable when it returns.
    pub fn put<K: Key, V: Serialize>(&self, table: &Table<K, V>, key: &K, value: &V) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(table, key, value)?;
        self.commit(batch)
    }

    pub fn delete<K: Key, V>(&self, table: &Table<K, V>, key: &K) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.delete(table, key);
        self.commit(batch)
    }

    /// Records `value` unless the key already holds one; returns what stands there now. Check and record are one step: of two callers
    /// with different values for one key, exactly one succeeds.
    pub fn put_if_absent<K: Key, V>(&self, table: &Table<K, V>, key: &K, value: V) -> Result<Recorded<V>, StoreError>
    where
        V: Serialize + DeserializeOwned,
    {
        let _exclusive = self.exclusive.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(existing) = self.get(table, key)? {
            return Ok(Recorded::Existing(existing));
        }
        self.put(table, key, &value)?;
        Ok(Recorded::New(value))
    }

    /// Applies all writes of the batch, or none; durable when it returns.
    pub fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let mut writes = WriteBatch::default();
        for operation in &batch.operations {
            match operation {
                Operation::Put { column, key, value } => writes.put_cf(&self.column(column)?, key, value),
                Operation::Delete { column, key } => writes.delete_cf(&self.column(column)?, key),
            }
        }
        self.db.write_opt(writes, &synced()).map_err(StoreError::Io)
    }

    /// Entries in key order, from `from` on (inclusive), at most `limit`.
    pub fn scan<K: Key, V: DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        from: Option<&K>,
        limit: usize,
    ) -> Result<Vec<(K, V)>, StoreError> {
        let column = self.column(table.name())?;
        let start = from.map(Key::to_bytes).unwrap_or_default();
        let iterator = self.db.iterator_cf(&column, rocksdb::IteratorMode::From(&start, rocksdb::Direction::Forward));
        let mut entries = Vec::new();
        for item in iterator.take(limit) {
            let (key, value) = item.map_err(StoreError::Io)?;
            let key = K::from_bytes(&key).ok_or(StoreError::Corrupt { column: table.name(), reason: "key of the wrong shape".into() })?;
            entries.push((key, table.decode(&value)?));
        }
        Ok(entries)
    }

    /// The entry with the highest key.
    pub fn last<K: Key, V: DeserializeOwned>(&self, table: &Table<K, V>) -> Result<Option<(K, V)>, StoreError> {
        let column = self.column(table.name())?;
        let Some(item) = self.db.iterator_cf(&column, rocksdb::IteratorMode::End).next() else { return Ok(None) };
        let (key, value) = item.map_err(StoreError::Io)?;
        let key = K::from_bytes(&key).ok_or(StoreError::Corrupt { column: table.name(), reason: "key of the wrong shape".into() })?;
        Ok(Some((key, table.decode(&value)?)))
    }

    fn column(&self, name: &'static str) -> Result<Arc<rocksdb::BoundColumnFamily<'_>>, StoreError> {
        self.db.cf_handle(name).ok_or(StoreError::UnknownColumn { column: name })
    }
}

/// Outcome of [`Store::put_if_absent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded<V> {
    New(V),
    Existing(V),
}

impl<V> Recorded<V> {
    pub fn into_inner(self) -> V {
        match self {
            Recorded::New(value) | Recorded::Existing(value) => value,
        }
    }
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: Table<u64, String> = Table::new("numbers");

    #[test]
    fn keeps_order_and_survives_reopening() {
        let folder = tempfile::tempdir().unwrap();
        {
            let store = Store::open(folder.path(), &[NUMBERS.name()]).unwrap();
            let mut batch = Batch::default();
            for number in [300u64, 2, 1] {
                batch.put(&NUMBERS, &number, &format!("n{number}")).unwrap();
            }
            store.commit(batch).unwrap();
        }
        let store = Store::open(folder.path(), &[NUMBERS.name()]).unwrap();
        let keys: Vec<u64> = store.scan(&NUMBERS, Some(&2), 10).unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [2, 300]);
        assert_eq!(store.last(&NUMBERS).unwrap(), Some((300, "n300".into())));
    }

    #[test]
    fn a_reader_looks_beside_the_owner_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Store::open(folder.path(), &[NUMBERS.name()]).unwrap();
        owner.put(&NUMBERS, &1, &"a".into()).unwrap();
        let reader = Store::open_read_only(folder.path()).unwrap();
        assert_eq!(reader.get(&NUMBERS, &1).unwrap(), Some("a".into()));
        assert!(reader.put(&NUMBERS, &1, &"b".into()).is_err());
        owner.put(&NUMBERS, &2, &"c".into()).unwrap();
        assert!(Store::open_read_only(&folder.path().join("nowhere")).is_err());
    }

    #[test]
    fn first_value_wins() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &[NUMBERS.name()]).unwrap();
        assert_eq!(store.put_if_absent(&NUMBERS, &1, "a".into()).unwrap(), Recorded::New("a".into()));
        assert_eq!(store.put_if_absent(&NUMBERS, &1, "b".into()).unwrap(), Recorded::Existing("a".into()));
    }

    #[test]
    fn refuses_a_second_process_and_foreign_files() {
        let folder = tempfile::tempdir().unwrap();
        let _held = Store::open(folder.path(), &[]).unwrap();
        assert_eq!(crate::types::Coded::code(&Store::open(folder.path(), &[]).unwrap_err()), "E-STORE-003");

        let broken = tempfile::tempdir().unwrap();
        std::fs::write(broken.path().join("CURRENT"), b"garbage").unwrap();
        assert_eq!(crate::types::Coded::code(&Store::open(broken.path(), &[]).unwrap_err()), "E-STORE-001");
    }
}
