package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/spoke/enrol"
)

var scripts atomic.Int32

// endAtOnce has each command of a script that is run under the race detector end when it is done: it would linger for a second.
const endAtOnce = "atexit_sleep_ms=0"

// setUp gives a script a namespace of its own, $NS, and makes it the administrator until it says "as".
func (h *hub) setUp(e *testscript.Env) error {
	namespace := "script-" + strconv.Itoa(int(scripts.Add(1)))
	e.Setenv("NS", namespace)
	e.Setenv("KUBECONFIG", h.Kubeconfig())
	e.Setenv("HUB", h.dir)
	e.Setenv("ADMIN", h.Kubeconfig()) // of a workload cluster, which is the same one here
	e.Setenv("TZ", "UTC")
	e.Setenv("GORACE", endAtOnce)
	if err := h.admin.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return err
	}
	return writeStatuses(e.WorkDir)
}

func (h *hub) commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"as": h.as, "status": h.status, "rolloutstatus": h.rolloutStatus, "applied": h.applied, "count": h.count,
		"undone": h.undone, "unapplied": h.unapplied, "claimed": h.claimed,
		"token": h.token, "joined": h.joined, "answer": h.answer,
	}
}

// as USER: the commands that follow are that user's.
func (h *hub) as(ts *testscript.TestScript, _ bool, args []string) {
	path, err := h.KubeconfigFor(args[0], nil)
	ts.Check(err)
	ts.Setenv("KUBECONFIG", path)
}

// status REQUEST FILE: what a hub writes into the status of a request.
func (h *hub) status(ts *testscript.TestScript, _ bool, args []string) {
	object := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: ts.Getenv("NS"), Name: args[0]}}
	patch := `{"status":` + ts.ReadFile(args[1]) + `}`
	ts.Check(h.admin.Status().Patch(context.Background(), object, client.RawPatch(types.MergePatchType, []byte(patch))))
}

// rolloutStatus ROLLOUT FILE: what a hub writes into the status of a rollout.
func (h *hub) rolloutStatus(ts *testscript.TestScript, _ bool, args []string) {
	object := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: ts.Getenv("NS"), Name: args[0]}}
	patch := `{"status":` + ts.ReadFile(args[1]) + `}`
	ts.Check(h.admin.Status().Patch(context.Background(), object, client.RawPatch(types.MergePatchType, []byte(patch))))
}

// answer N REQUEST FILE: once there are N approvals, the status becomes what a hub makes of them.
func (h *hub) answer(ts *testscript.TestScript, _ bool, args []string) {
	namespace, status := ts.Getenv("NS"), ts.ReadFile(args[2])
	wanted, err := strconv.Atoi(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	ts.Defer(cancel)
	go func() {
		_ = wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			var approvals v1alpha1.ApprovalList
			err := h.admin.List(ctx, &approvals, client.InNamespace(namespace))
			return len(approvals.Items) >= wanted, err
		})
		object := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: args[1]}}
		_ = h.admin.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(`{"status":`+status+`}`)))
	}()
}

// applied FILE...: the administrator has applied the files.
func (h *hub) applied(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		ts.Check(apply.YAML(context.Background(), h.RESTConfig(), []byte(ts.ReadFile(file))))
	}
}

// unapplied FILE TEXT: the API server refuses the file, and says why.
func (h *hub) unapplied(ts *testscript.TestScript, _ bool, args []string) {
	err := apply.YAML(context.Background(), h.RESTConfig(), []byte(ts.ReadFile(args[0])))
	if err == nil || !strings.Contains(err.Error(), args[1]) {
		ts.Fatalf("%v, wanted %q", err, args[1])
	}
}

// undone FREEZE: the administrator deletes a freeze; "!" that the API server refuses.
func (h *hub) undone(ts *testscript.TestScript, not bool, args []string) {
	err := h.admin.Delete(context.Background(), &v1alpha1.Freeze{ObjectMeta: metav1.ObjectMeta{Name: args[0]}})
	if (err != nil) != not || not && !strings.Contains(err.Error(), "only once it is thawed") {
		ts.Fatalf("%v", err)
	}
}

// joined CLUSTER: what a hub writes once a spoke has enrolled.
func (h *hub) joined(ts *testscript.TestScript, _ bool, args []string) {
	object := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: args[0]}}
	patch := []byte(`{"status":{"phase":"Joined","connected":true,"clusterUID":"0a1b","spokeVersion":"v0.1.0","conditions":[
		{"type":"Ready","status":"True","reason":"Connected","message":"its spoke is connected","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`)
	ts.Check(h.admin.Status().Patch(context.Background(), object, client.RawPatch(types.MergePatchType, patch)))
}

// claimed CLUSTER KEY: what a hub writes once a spoke has proved itself and waits.
func (h *hub) claimed(ts *testscript.TestScript, _ bool, args []string) {
	object := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: args[0]}}
	patch := fmt.Appendf(nil, `{"status":{"phase":"Pending","clusterUID":"0a1b","receiptKey":%q,"conditions":[
		{"type":"Accepted","status":"False","reason":"AwaitingAcceptance","message":"its spoke waits","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`, args[1])
	ts.Check(h.admin.Status().Patch(context.Background(), object, client.RawPatch(types.MergePatchType, patch)))
}

// count KIND N: how many objects of the kind are in the script's namespace.
func (h *hub) count(ts *testscript.TestScript, _ bool, args []string) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(args[0]))
	ts.Check(h.admin.List(context.Background(), list, client.InNamespace(ts.Getenv("NS"))))
	if strconv.Itoa(len(list.Items)) != args[1] {
		ts.Fatalf("%d of kind %s, wanted %s", len(list.Items), args[0], args[1])
	}
}

// token CLUSTER FILE: the hub has the digest of the token in the join file; "!" that it has not.
func (h *hub) token(ts *testscript.TestScript, not bool, args []string) {
	join, err := enrol.ParseJoin([]byte(ts.ReadFile(args[1])))
	ts.Check(err)
	var object v1alpha1.Cluster
	err = h.admin.Get(context.Background(), client.ObjectKey{Name: args[0]}, &object)
	ts.Check(client.IgnoreNotFound(err))
	sum := sha256.Sum256([]byte(join.Token))
	if (object.Spec.Join.SHA256 == hex.EncodeToString(sum[:])) == not {
		ts.Fatalf("the hub has %s", object.Spec.Join.SHA256)
	}
	raw, err := json.Marshal(object)
	ts.Check(err)
	if strings.Contains(string(raw), join.Token) {
		ts.Fatalf("the token itself is on the hub")
	}
}

func writeJSON(dir, name string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), raw, 0o600)
}
