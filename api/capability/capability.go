// Package capability holds the one integer that says what a hub or a spoke can do. Peers exchange it when they meet.
//
// It promises that neighbours work together: hub and spoke may differ by one, in either direction, so that a fleet can be
// upgraded in any order. It never says which release somebody runs; that is text for people.
package capability

import "fmt"

// Current is what this code can do. Every change that a peer must know of adds one, and a line here:
//
//	1  orders and bundles of format 1; inspections, signals, receipts and outcomes on one stream
const Current uint32 = 1

// Compatible reports whether this code works with a peer of that capability.
func Compatible(peer uint32) bool { return compatible(Current, peer) }

func compatible(self, peer uint32) bool {
	return peer > 0 && max(self, peer)-min(self, peer) <= 1
}

// Advice says, in one line, which of the two to upgrade; peer is how the line calls the other side.
func Advice(peer string, capability uint32) string { return advice(Current, peer, capability) }

func advice(self uint32, peer string, capability uint32) string {
	if capability < self {
		return fmt.Sprintf("the %s has capability %d and this side %d, one apart is allowed: upgrade the %s", peer, capability, self, peer)
	}
	return fmt.Sprintf("the %s has capability %d and this side %d, one apart is allowed: upgrade this side first", peer, capability, self)
}
