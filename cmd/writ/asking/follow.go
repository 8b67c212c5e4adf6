package asking

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/cmd/writ/access"
)

// again is how long a watch that broke off is let be.
const again = 500 * time.Millisecond

// Seen is told of an object whenever it is read or changes. It ends the following by returning true or an error.
type Seen[T client.Object] func(object T, gone bool) (done bool, err error)

// Follow tells of one object of the lists' kind, or of all of a namespace where the key has no name (of all namespaces where it
// has none either): first as they are, then each change. It survives watches that break off and an API server that is away
// for a while, and ends with the context.
func Follow[T client.Object](ctx context.Context, c client.WithWatch, list func() client.ObjectList, key client.ObjectKey, seen Seen[T]) error {
	options := client.ListOptions{Namespace: key.Namespace}
	if key.Name != "" {
		client.MatchingFields{"metadata.name": key.Name}.ApplyToList(&options)
	}
	f := following[T]{c: c, list: list, options: options, seen: seen}
	for began := false; ; {
		err := f.once(ctx)
		began = began || f.listed
		if f.done || (err != nil && !began) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(again):
		}
	}
}

type following[T client.Object] struct {
	c            client.WithWatch
	list         func() client.ObjectList
	options      client.ListOptions
	seen         Seen[T]
	listed, done bool
}

// once lists, and watches until the watch breaks off.
func (f *following[T]) once(ctx context.Context) error {
	list, options := f.list(), f.options
	if err := f.c.List(ctx, list, &options); err != nil {
		return access.Explain(err)
	}
	f.listed = true
	err := meta.EachListItem(list, func(o runtime.Object) error {
		if f.done {
			return nil
		}
		return f.tell(o, false)
	})
	if f.done || err != nil {
		return err
	}
	options.Raw = &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}
	watcher, err := f.c.Watch(ctx, list, &options)
	if err != nil {
		return access.Explain(err)
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		if event.Type == watch.Bookmark {
			continue
		}
		if err := f.tell(event.Object, event.Type == watch.Deleted); f.done || err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (f *following[T]) tell(o runtime.Object, gone bool) (err error) {
	object, ok := o.(T)
	if !ok { // the watch's own word, such as that it has ended
		return nil
	}
	var done bool
	done, err = f.seen(object, gone)
	f.done = done || err != nil
	return err
}
