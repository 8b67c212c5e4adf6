// Package capability holds the one integer that says what a hub or a spoke can do. Peers exchange it when they meet.
//
// It promises that neighbours work together: hub and spoke may differ by one, in either direction, so that a fleet can be
// upgraded in any order. It never says which release somebody runs; that is text for people.
package capability

import "fmt"

// Current is what this code can do. Every change that a peer must know of adds one, and a line here:
//
//	1  orders and bundles of format 1; inspections, signals, receipts and outcomes on one stream
//	2  epoch resets, signed by the root keys: a spoke of 1 has to enrol anew where its hub was restored from a backup
//	3  rehearsals: a spoke of 2 is not asked to rehearse, and its medium orders are approved unseen; high ones are refused
//	   and freezes, in the heads: a spoke of 2 hears of none, and starts what it was sent before
//	4  trust roots and authorities on the stream: a spoke of 3 keeps the ones that it joined with
//	   and freezes that end the credentials of what was started: a spoke of 3 lets it go on
//	   and actions of a site's own, whose templates travel in rehearsals and orders: a spoke of 3 is asked for none, they are refused
const Current uint32 = Templates

// EpochResets is what a spoke must be capable of to be sent one.
const EpochResets uint32 = 2

// Rehearsals is what a spoke must be capable of to be asked for one.
const Rehearsals uint32 = 3

// Freezes is what a spoke must be capable of to be told of any in its heads.
const Freezes uint32 = 3

// Rotations is what a spoke must be capable of to be sent trust roots and authorities, and to be asked to renew.
const Rotations uint32 = 4

// Withdrawals is what a spoke must be capable of to end what it has started.
const Withdrawals uint32 = 4

// Templates is what a spoke must be capable of to be asked for an action of a site's own.
const Templates uint32 = 4

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
