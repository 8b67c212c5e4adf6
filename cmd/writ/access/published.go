package access

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var hubInfo = client.ObjectKey{Namespace: "writ-system", Name: "writ-hub"}

// Published is what the hub publishes: how it is joined (enrol, connect), whom it trusts (authorities.pem, root.json), and the
// key of its audit log (audit.vkey). Nothing of it is secret.
func Published(ctx context.Context, c client.Client) (map[string]string, error) {
	var info corev1.ConfigMap
	err := c.Get(ctx, hubInfo, &info)
	if NotFound(err) {
		return nil, fmt.Errorf("the hub has not published how it is joined and trusted (ConfigMap %s): see whether writ-hub runs", hubInfo)
	}
	return info.Data, Explain(err)
}
