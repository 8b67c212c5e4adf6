package catalogue

import (
	"slices"
	"sort"
)

// Actions returns the catalogue, by name.
func Actions() map[string]*Action { return actions }

// Names returns the names of all actions, sorted.
func Names() []string {
	names := make([]string, 0, len(actions))
	for name := range actions {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// OnHub reports whether an action is carried out by the hub itself.
func OnHub(name string) bool { return actions[name] != nil && actions[name].OnHub }

// ClusterNames returns the names of the actions that are carried out in a cluster, sorted.
func ClusterNames() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return actions[name].OnHub })
}

var actions = build(
	scale(), rolloutRestart(), rollback(), pauseRollout(), resumeRollout(), undoPartialRollout(),
	setImage(), setResources(), setEnv(), setProbe(), suspendCronJob(), resumeCronJob(),
	adjustHPA(), adjustPDB(), label(), annotate(), expandPVC(), patchConfigMap(), restoreConfigMap(), adjustQuota(), patchServiceSelector(), renewCertificate(),
	quarantinePod(), releasePod(), deletePod(), evictPod(), forceDeleteStuckPod(), removeFinalizer(), runCronJobNow(), retryJob(), deleteJob(), resizePod(),
	notify(), escalate(), collectDiagnostics(), collectNodeDiagnostics(), debugProbe(),
	cordon(), uncordon(), drain(), taintNode(), untaintNode(), approveCSR(),
	addNetworkPolicy(), setNetworkPolicy(), deleteNetworkPolicy(), applyPatch(),
)
