package badgerstore

import (
	"log/slog"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/badgerdb"
)

// memTable is how much is kept in memory before it becomes a file, in bytes. Badger takes 15 % of it in one transaction,
// which has to hold the largest commit.
const memTable = 10 << 20

// reserve stays free on the disk, in bytes: two tables in memory to be written out, and a compaction.
//
// Badger writes through mapped sparse files. When such a page gets no block the kernel ends the process (SIGBUS), where
// a write would have returned an error; so it must not come to that.
const reserve = 8 * memTable

// settings are for a store of many small records that is idle for most of the time: little memory, and every value in the
// tables. Badger does not tell when syncing its value log fails, so only values of just 1 MiB, the limit, go there.
func settings(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithDetectConflicts(false). // there is one writer
		WithMemTableSize(memTable).WithNumMemtables(1).
		WithBlockCacheSize(0).WithIndexCacheSize(4 << 20).WithCompression(options.None).
		WithValueThreshold(store.MaxValue).WithValueLogFileSize(16 << 20).
		WithNumCompactors(2).WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(6).
		WithMetricsEnabled(false).
		WithLogger(badgerdb.Logger(log))
}

// toFlush is the room that closing needs, in bytes: for the tables in memory.
const toFlush = 2 * memTable

// roomFor checks that a disk has a number of bytes free.
func roomFor(dir string, bytes uint64) error { return badgerdb.RoomFor(dir, bytes, store.ErrFull) }
