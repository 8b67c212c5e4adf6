package journal

import (
	"log/slog"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/writ-dev/writ/internal/badgerdb"
)

// memTable is how much is kept in memory before it becomes a file, in bytes. Badger takes 15 % of it in one transaction,
// which has to hold the largest envelope.
const memTable = 2 << 20

// reserve stays free on the disk, in bytes: two tables in memory to be written out, and compactions.
//
// Badger writes through mapped sparse files. When such a page gets no block the kernel ends the process (SIGBUS), where
// a write would have returned an error; so it must not come to that. If others fill the disk in the instant between the
// check and the write the process dies, and the journal is as after any other kill.
const reserve = 16 * memTable

// toFlush is the room that closing needs, in bytes: for the tables in memory.
const toFlush = 2 * memTable

// settings are for little memory and few writes, with every value in the tables: Badger does not tell when syncing its
// value log fails.
func settings(dir string, log *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithDetectConflicts(false). // there is one writer at a time
		WithMemTableSize(memTable).WithNumMemtables(1).
		WithBaseTableSize(1 << 20).WithBaseLevelSize(4 << 20).
		WithBlockCacheSize(0).WithIndexCacheSize(0).WithCompression(options.None).
		WithValueThreshold(MaxEnvelope + 1<<10).WithValueLogFileSize(1 << 20).
		WithNumCompactors(2).WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(4).
		WithMetricsEnabled(false).
		WithLogger(badgerdb.Logger(log))
}

// roomFor checks that a disk has a number of bytes free.
func roomFor(dir string, bytes uint64) error { return badgerdb.RoomFor(dir, bytes, ErrFull) }
