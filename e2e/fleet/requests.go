package fleet

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"strings"
)

// auditPolicy writes down every request once it is answered, without its content.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - level: Metadata
`

// auditArgs are what an API server is told to write down who did what; nothing where nobody asked for it.
func (f *Fleet) auditArgs() (func(cluster string) []string, error) {
	if !f.Audited {
		return func(string) []string { return nil }, nil
	}
	policy := f.file("audit-policy.yaml")
	return func(cluster string) []string {
		return []string{"--audit-policy-file=" + policy, "--audit-log-path=" + f.requestLog(cluster)}
	}, os.WriteFile(policy, []byte(auditPolicy), 0o600)
}

func (f *Fleet) requestLog(cluster string) string { return f.file("requests-" + cluster + ".log") }

// Request is one request that an API server answered.
type Request struct {
	User  string // as "system:serviceaccount:NAMESPACE:NAME"
	Right string // as "get apps/deployments" or "create serviceaccounts/token"
	Code  int    // HTTP status
}

// Requests are all that the API server of a cluster has answered so far, "hub" included. Requests for no resource are left out.
func (f *Fleet) Requests(cluster string) ([]Request, error) {
	file, err := os.Open(f.requestLog(cluster))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all []Request
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			Verb      string
			User      struct{ Username string }
			ObjectRef *struct{ Resource, Subresource, APIGroup string }
			// Watches are written down at their end.
			ResponseStatus struct{ Code int }
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if event.ObjectRef == nil {
			continue
		}
		what := event.ObjectRef.Resource
		if event.ObjectRef.Subresource != "" {
			what += "/" + event.ObjectRef.Subresource
		}
		all = append(all, Request{User: event.User.Username, Code: event.ResponseStatus.Code,
			Right: event.Verb + " " + strings.TrimPrefix(event.ObjectRef.APIGroup+"/"+what, "/")})
	}
	return all, lines.Err()
}
