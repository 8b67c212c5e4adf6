package probe

var (
	InCluster = inCluster
	Persist   = persist
)
