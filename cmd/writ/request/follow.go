package request

import (
	"context"
	"fmt"
	"io"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// again is how long a watch that broke off is let be.
const again = 500 * time.Millisecond

// Seen is told of a request whenever it is read or changes. It ends the following by returning true or an error.
type Seen func(r *v1alpha1.ActionRequest, gone bool) (done bool, err error)

// Follow tells of one request, or of all of a namespace where the key has no name (of all namespaces where it has none either):
// first as they are, then each change. It survives watches that break off and an API server that is away for a while, and
// ends with the context.
func Follow(ctx context.Context, c client.WithWatch, key client.ObjectKey, seen Seen) error {
	for began := false; ; {
		done, listed, err := followOnce(ctx, c, key, seen)
		began = began || listed
		if done || (err != nil && !began) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(again):
		}
	}
}

// followOnce lists, and watches until the watch breaks off.
func followOnce(ctx context.Context, c client.WithWatch, key client.ObjectKey, seen Seen) (done, listed bool, err error) {
	options := client.ListOptions{Namespace: key.Namespace}
	if key.Name != "" {
		client.MatchingFields{"metadata.name": key.Name}.ApplyToList(&options)
	}
	var list v1alpha1.ActionRequestList
	if err := c.List(ctx, &list, &options); err != nil {
		return false, false, access.Explain(err)
	}
	for i := range list.Items {
		if done, err := seen(&list.Items[i], false); done || err != nil {
			return true, true, err
		}
	}
	options.Raw = &metav1.ListOptions{ResourceVersion: list.ResourceVersion}
	watcher, err := c.Watch(ctx, &v1alpha1.ActionRequestList{}, &options)
	if err != nil {
		return false, true, access.Explain(err)
	}
	defer watcher.Stop()
	for event := range watcher.ResultChan() {
		object, ok := event.Object.(*v1alpha1.ActionRequest)
		if !ok || event.Type == watch.Bookmark {
			continue
		}
		if done, err := seen(object, event.Type == watch.Deleted); done || err != nil {
			return true, true, err
		}
	}
	return false, true, ctx.Err()
}

// FollowToEnd prints one request's changes until nothing more will happen. It is an error unless the request succeeded.
func FollowToEnd(ctx context.Context, c client.WithWatch, key client.ObjectKey, out io.Writer) error {
	tell := Lines(out, false)
	return Follow(ctx, c, key, func(r *v1alpha1.ActionRequest, gone bool) (bool, error) {
		if _, err := tell(r, gone); err != nil {
			return true, err
		}
		switch {
		case gone:
			return true, fmt.Errorf("request %s was deleted", r.Name)
		case !r.Status.Phase.Final():
			return false, nil
		case r.Status.Phase != v1alpha1.PhaseSucceeded:
			return true, fmt.Errorf("request %s did not succeed (%s); writ request describe %s/%s tells its story", r.Name, r.Status.Phase, r.Namespace, r.Name)
		}
		return true, nil
	})
}

// Lines prints one line for each change that people can see, in columns that stay aligned.
func Lines(out io.Writer, namespaced bool) Seen {
	last := map[string]string{}
	return func(r *v1alpha1.ActionRequest, gone bool) (bool, error) {
		phase, name := string(PhaseOf(r)), r.Name
		if gone {
			phase = "deleted"
		}
		if namespaced {
			name = r.Namespace + "/" + r.Name
		}
		line := fmt.Sprintf("%-28s  %-16s  %-6s  %s", show.Plain(name), phase, show.Plain(show.OrDash(r.Status.Tier)), show.Plain(messageOf(r)))
		if last[string(r.UID)] == line {
			return false, nil
		}
		if len(last) == 0 {
			fmt.Fprintf(out, "%-8s  %-28s  %-16s  %-6s  %s\n", "TIME", "NAME", "PHASE", "TIER", "MESSAGE")
		}
		last[string(r.UID)] = line
		_, err := fmt.Fprintf(out, "%s  %s\n", time.Now().Format(time.TimeOnly), line)
		return false, err
	}
}

func messageOf(r *v1alpha1.ActionRequest) string {
	if r.Status.Phase == "" {
		return Asks(r) + "; the hub has not looked at it yet"
	}
	return r.Status.Message
}
