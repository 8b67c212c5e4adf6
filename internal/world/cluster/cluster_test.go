package cluster_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestUsersMayDoWhatRBACSays(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Workloads: true})
	ns := worldtest.Namespace(t, c)
	admin := worldtest.Client(t, c)

	user := clientFrom(t, must(c.KubeconfigFor("anna", []string{"viewers"})))
	if _, err := user.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Fatalf("a user without roles: got %v, want forbidden", err)
	}
	bind(t, admin, ns, rbacv1.Subject{Kind: "Group", APIGroup: rbacv1.GroupName, Name: "viewers"})
	worldtest.Eventually(t, "the role to count", func(ctx context.Context) error {
		_, err := user.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		return err
	})

	worldtest.Eventually(t, "the default ServiceAccount", func(ctx context.Context) error {
		_, err := admin.CoreV1().ServiceAccounts(ns).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	account := clientFrom(t, must(c.KubeconfigForServiceAccount(t.Context(), ns, "default", 10*time.Minute)))
	_, err := account.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "system:serviceaccount:"+ns+":default") {
		t.Fatalf("a ServiceAccount without roles: got %v, want forbidden by name", err)
	}
}

func TestStrangersSeeHealthAlone(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Workloads: true})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for path, want := range map[string]int{
		"/readyz": http.StatusOK, "/livez": http.StatusOK,
		"/api": http.StatusUnauthorized, "/version": http.StatusUnauthorized,
	} {
		response, err := client.Get(c.Server() + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, response.StatusCode, want)
		}
	}
}

func TestSecretFilesAreForTheirOwnerAlone(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Workloads: true})
	entries, err := os.ReadDir(c.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, ".kubeconfig") && !strings.HasSuffix(name, ".key") {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

func TestTheAPIServerGoesAndComesBack(t *testing.T) {
	t.Parallel()
	c := own(t, cluster.Options{Name: "fault"})
	client := worldtest.Client(t, c)
	before, err := client.CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.StopAPIServer()
	if _, err := client.CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{}); err == nil {
		t.Fatal("a stopped API server answered")
	}
	if err := c.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := client.CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if before.UID != after.UID {
		t.Errorf("kube-system's UID changed from %s to %s", before.UID, after.UID)
	}
}

func TestADirectoryIsTheSameClusterAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var uids []string
	for range 2 {
		c := own(t, cluster.Options{Name: "again", Dir: dir, Fsync: true})
		ns, err := worldtest.Client(t, c).CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		uids = append(uids, string(ns.UID))
		c.Stop()
	}
	if uids[0] != uids[1] {
		t.Errorf("kube-system's UID changed from %s to %s", uids[0], uids[1])
	}
}

func TestATakenPortIsOneClearLine(t *testing.T) {
	worldtest.Cluster(t, cluster.Options{Workloads: true}) // skips where it must
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	_, err = cluster.Start(t.Context(), cluster.Options{Name: "late", Port: port})
	wantLine(t, err, "cluster late: port "+strconv.Itoa(port)+" on 127.0.0.1 is taken")
}

func TestAChildThatDiesEarlySaysWhy(t *testing.T) {
	worldtest.Cluster(t, cluster.Options{Workloads: true})
	dir := t.TempDir()
	_, err := cluster.Start(t.Context(), cluster.Options{Name: "odd", Dir: dir, APIServerArgs: []string{"--no-such-flag"}})
	wantLine(t, err, "kube-apiserver ended", "no-such-flag", dir+"/kube-apiserver.log")
}

func wantLine(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than one line", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

// own starts a cluster for one test alone.
func own(t *testing.T, opts cluster.Options) *cluster.Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("needs real servers; run without -short")
	}
	opts.Progress = os.Stderr
	c, err := cluster.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

func clientFrom(t *testing.T, path string) *kubernetes.Clientset {
	t.Helper()
	config, err := cluster.LoadKubeconfig(path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func bind(t *testing.T, admin *kubernetes.Clientset, ns string, subject rbacv1.Subject) {
	t.Helper()
	_, err := admin.RbacV1().RoleBindings(ns).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "test"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{subject},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func must(path string, err error) string {
	if err != nil {
		panic(err)
	}
	return path
}
