package journal

import "log/slog"

// OpenWithoutReserve is Open without the guard against a full disk, to show what the guard is for.
func OpenWithoutReserve(dir string) (*Journal, error) {
	return open(dir, slog.New(slog.DiscardHandler), 0)
}

// Reserve is what stays free on the disk.
const Reserve = reserve
