package bench

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// ends tells whoever waits for a request of its end.
type ends struct {
	mu      sync.Mutex
	waiting map[string]chan *v1alpha1.ActionRequest
}

// follow watches the requests of a fleet until the benchmark ends, as any client would: with an informer.
func follow(b *testing.B, f *fleet.Fleet) *ends {
	b.Helper()
	e := &ends{waiting: map[string]chan *v1alpha1.ActionRequest{}}
	requests, err := cache.New(f.Hub.RESTConfig(), cache.Options{Scheme: f.Client.Scheme()})
	require.NoError(b, err)
	informer, err := requests.GetInformer(b.Context(), &v1alpha1.ActionRequest{}, cache.BlockUntilSynced(false))
	require.NoError(b, err)
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    e.take,
		UpdateFunc: func(_, now any) { e.take(now) },
	})
	require.NoError(b, err)
	go func() { _ = requests.Start(b.Context()) }()
	require.True(b, requests.WaitForCacheSync(b.Context()))
	return e
}

// of is a channel that gets the request of that name once it has ended.
func (e *ends) of(name string) <-chan *v1alpha1.ActionRequest {
	e.mu.Lock()
	defer e.mu.Unlock()
	ended := make(chan *v1alpha1.ActionRequest, 1)
	e.waiting[name] = ended
	return ended
}

func (e *ends) take(object any) {
	r, ok := object.(*v1alpha1.ActionRequest)
	if !ok || !r.Status.Phase.Final() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if ended, ok := e.waiting[r.Name]; ok {
		ended <- r
		delete(e.waiting, r.Name)
	}
}
