package gateway

import (
	"context"

	"github.com/writ-dev/writ/api/refusal"
)

// storm refuses an agent one node more where too many of the cluster's nodes are out of use already, or about to be: what ails many at
// once is not mended one by one. People may go on.
func (g *Gateway) storm(ctx context.Context, r *Record) (*refusal.Refusal, error) {
	if r.Request.AgentClass == "" || r.Request.instead() || r.Facts == nil || r.Facts.Nodes == nil {
		return nil, nil
	}
	under, err := g.Store.Scan(ctx, busyPrefix+r.Request.Cluster+"/node/", "", scanPage)
	if err != nil {
		return nil, err
	}
	nodes, busy := r.Facts.Nodes, 0
	for _, item := range under {
		if string(item.Value) != r.Request.ID {
			busy++
		}
	}
	if most := max(1, nodes.All*g.Limits.NodesOutPercent/100); nodes.Out+busy+1 > most {
		return refusal.New("limit", refusal.BlastRadius, "of the %d nodes of cluster %s, %d others are out of use and %d have an action under way: "+
			"agents may have %d out at once; it takes a person to ask for more", nodes.All, r.Request.Cluster, nodes.Out, busy, most), nil
	}
	return nil, nil
}
