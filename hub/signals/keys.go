package signals

import (
	"encoding/json"
	"fmt"

	"github.com/writ-dev/writ/hub/store"
)

// The keys under which signals are kept.
const (
	signalPrefix = "signal/kept/"   // <cluster>/<fingerprint>: the signal
	feedPrefix   = "signal/feed/"   // <position>: the signal, in the order of reports
	orderPrefix  = "signal/order/"  // <cluster>/<position>: the fingerprint, to find a cluster's oldest
	cursorPrefix = "signal/cursor/" // <follower>: the position up to which it has heard
	lastKey      = "signal/last"    // the last position given out
)

func signalKey(cluster, fingerprint string) string { return signalPrefix + cluster + "/" + fingerprint }

// feedKey has a fixed width, so that the order of keys is the order of positions.
func feedKey(position uint64) string { return fmt.Sprintf("%s%020d", feedPrefix, position) }

func orderKey(cluster string, position uint64) string {
	return fmt.Sprintf("%s%s/%020d", orderPrefix, cluster, position)
}

// add writes a signal under its three keys.
func add(k kept) ([]store.Op, error) {
	raw, err := json.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("signal %s: %w", k.Signal.ID, err)
	}
	return []store.Op{
		store.Put(signalKey(k.Signal.Cluster, k.Signal.Fingerprint), raw),
		store.Put(feedKey(k.Position), raw),
		store.Put(orderKey(k.Signal.Cluster, k.Position), []byte(k.Signal.Fingerprint)),
	}, nil
}

// remove takes a signal out of the feed; its own key stays.
func remove(k kept) []store.Op {
	return []store.Op{store.Delete(feedKey(k.Position)), store.Delete(orderKey(k.Signal.Cluster, k.Position))}
}
