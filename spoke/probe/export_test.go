package probe

var InCluster = inCluster
