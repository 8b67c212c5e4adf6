package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	vaultapi "github.com/hashicorp/vault/api"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/hub/intake"
	"github.com/writ-dev/writ/internal/identity"
)

// lookWithin bounds each look.
const lookWithin = 10 * time.Second

// seen is a value that was looked for, or why it could not be had.
type seen[T any] struct {
	value T
	err   error
	asked bool
}

func look[T any](ctx context.Context, ask func(context.Context) (T, error)) seen[T] {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	value, err := ask(ctx)
	return seen[T]{value, err, true}
}

// clock is another's time, and ours when it was told.
type clock struct{ theirs, ours time.Time }

// facts are all that can be seen from here.
type facts struct {
	now       time.Time
	api       seen[clock] // what the API server's Date header says
	kinds     seen[map[string]bool]
	fence     seen[struct{}]
	published seen[map[string]string] // of the ConfigMap writ-hub
	enrol     seen[time.Time]         // when the certificate ends that the hub's port for joining shows
	health    seen[string]            // the body of /readyz?verbose
	clusters  seen[[]v1alpha1.Cluster]
	requests  seen[[]v1alpha1.ActionRequest]
	vault     seen[*vaultapi.HealthResponse]
}

// gather looks at everything once. Without an API server there is nothing more to see there.
func gather(ctx context.Context, config *rest.Config, o options, now func() time.Time) facts {
	f := facts{now: now()}
	if o.vault != "" {
		f.vault = look(ctx, func(ctx context.Context) (*vaultapi.HealthResponse, error) { return askVault(ctx, o) })
	}
	if o.hubHealth != "" {
		f.health = look(ctx, func(ctx context.Context) (string, error) { return askHealth(ctx, o.hubHealth) })
	}
	f.api = look(ctx, func(ctx context.Context) (clock, error) { return askTime(ctx, config, now) })
	if f.api.err != nil {
		return f
	}
	f.kinds = look(ctx, func(context.Context) (map[string]bool, error) { return askKinds(config) })
	f.fence = look(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, intake.Fenced(ctx, config) })
	c, err := client.New(config, client.Options{Scheme: access.Scheme(), Mapper: access.Mapper()})
	if err != nil {
		f.published, f.clusters, f.requests = seen[map[string]string]{err: err, asked: true}, seen[[]v1alpha1.Cluster]{err: err, asked: true}, seen[[]v1alpha1.ActionRequest]{err: err, asked: true}
		return f
	}
	f.published = look(ctx, func(ctx context.Context) (map[string]string, error) {
		var info corev1.ConfigMap
		err := c.Get(ctx, client.ObjectKey{Namespace: "writ-system", Name: "writ-hub"}, &info)
		return info.Data, err
	})
	if f.published.err == nil {
		f.enrol = look(ctx, func(ctx context.Context) (time.Time, error) { return dialHub(ctx, f.published.value) })
	}
	f.clusters = look(ctx, func(ctx context.Context) ([]v1alpha1.Cluster, error) {
		var list v1alpha1.ClusterList
		err := c.List(ctx, &list)
		return list.Items, err
	})
	f.requests = look(ctx, func(ctx context.Context) ([]v1alpha1.ActionRequest, error) {
		var list v1alpha1.ActionRequestList
		err := c.List(ctx, &list)
		return list.Items, err
	})
	return f
}

func askTime(ctx context.Context, config *rest.Config, now func() time.Time) (clock, error) {
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return clock{}, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return clock{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("version").String(), nil)
	if err != nil {
		return clock{}, err
	}
	from := now()
	response, err := httpClient.Do(request)
	if err != nil {
		return clock{}, err
	}
	defer response.Body.Close()
	ours := from.Add(now().Sub(from) / 2)
	theirs, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return clock{}, fmt.Errorf("the API server does not say what time it is: %w", err)
	}
	return clock{theirs: theirs.Add(500 * time.Millisecond), ours: ours}, nil // the header has whole seconds
}

func askKinds(config *rest.Config) (map[string]bool, error) {
	c, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	list, err := c.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil {
		return nil, err
	}
	kinds := map[string]bool{}
	for _, resource := range list.APIResources {
		kinds[resource.Kind] = true
	}
	return kinds, nil
}

// dialHub greets the hub as a spoke that joins does, and returns when its certificate ends.
func dialHub(ctx context.Context, published map[string]string) (time.Time, error) {
	authorities, err := identity.ParseAuthorities([]byte(published["authorities.pem"]))
	if err != nil {
		return time.Time{}, err
	}
	conn, err := (&tls.Dialer{Config: identity.EnrolClientTLS(authorities)}).DialContext(ctx, "tcp", published["enrol"])
	if err != nil {
		return time.Time{}, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].NotAfter, nil
}

func askHealth(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/readyz?verbose", nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	return string(body), err
}

func askVault(ctx context.Context, o options) (*vaultapi.HealthResponse, error) {
	config := vaultapi.DefaultConfig()
	if config.Error != nil {
		return nil, config.Error
	}
	config.Address, config.MaxRetries, config.Timeout = o.vault, 0, lookWithin
	if o.vaultCA != "" {
		if err := config.ConfigureTLS(&vaultapi.TLSConfig{CACert: o.vaultCA}); err != nil {
			return nil, err
		}
	}
	c, err := vaultapi.NewClient(config)
	if err != nil {
		return nil, err
	}
	return c.Sys().HealthWithContext(ctx)
}
