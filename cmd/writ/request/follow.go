package request

import (
	"context"
	"fmt"
	"io"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/asking"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// Seen is told of a request whenever it is read or changes. It ends the following by returning true or an error.
type Seen = asking.Seen[*v1alpha1.ActionRequest]

// Follow tells of one request or of many, as asking.Follow does.
func Follow(ctx context.Context, c client.WithWatch, key client.ObjectKey, seen Seen) error {
	return asking.Follow(ctx, c, func() client.ObjectList { return &v1alpha1.ActionRequestList{} }, key, seen)
}

// sending is how requests are sent.
func sending() *asking.Sending { return &asking.Sending{Noun: "request", ToEnd: FollowToEnd} }

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
