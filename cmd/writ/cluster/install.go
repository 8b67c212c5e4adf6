package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/deploy/charts"
	"github.com/writ-dev/writ/deploy/charts/render"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/spoke/enrol"
)

// installation is what the flags say of the spoke's chart.
type installation struct {
	files, set []string
	print      bool
	timeout    time.Duration
}

func (i *installation) flags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&i.files, "values", nil, "a file of values of the spoke's chart: what is allowed there; may be repeated (writ install spoke --show-values)")
	flags.StringArrayVar(&i.set, "set", nil, "set a value, as key=value or a.b={x,y}; may be repeated")
	flags.BoolVar(&i.print, "print", false, "install nothing: write the join file, and print the command that installs the spoke")
	flags.DurationVar(&i.timeout, "timeout", 3*time.Minute, "how long the cluster may take to be ready")
}

// arguments are the flags of helm, and of writ install, that say the same.
func (i installation) arguments() string {
	var args []string
	for _, file := range i.files {
		args = append(args, "-f "+quote(file))
	}
	for _, set := range i.set {
		args = append(args, "--set "+quote(set))
	}
	return strings.Join(args, " ")
}

var plain = regexp.MustCompile(`^[\w./:@%+=,-]+$`)

// quote makes one word of a shell of it.
func quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// render is what is to be installed. Values that cannot be meant are an error, before anything is written anywhere.
func (i installation) render(ctx context.Context) ([]byte, error) {
	values := [][]byte{[]byte("namespace: {create: true}\njoin: {secretName: " + deployspoke.JoinSecretName + "}\n")}
	for _, file := range i.files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		values = append(values, raw)
	}
	return render.Render(ctx, render.Options{Chart: charts.Spoke, Values: values, Set: i.set})
}

// workload is a workload cluster, reached for one command by its admin.
type workload struct {
	config *rest.Config
	client client.Client
}

func openWorkload(kubeconfig string) (*workload, error) {
	config, err := workloadConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("the workload cluster: %w", err)
	}
	return &workload{config, c}, nil
}

var spokeKey = client.ObjectKey{Namespace: deployspoke.SystemNamespace, Name: "writ-spoke"} // the chart's StatefulSet

// install registers the cluster, installs its spoke, and waits until the hub says that it is ready.
func (r registration) install(command *cobra.Command, c client.Client, join enrol.Join, spec v1alpha1.ClusterSpec) error {
	ctx, steps := command.Context(), &steps{out: command.ErrOrStderr(), began: time.Now()}
	w, err := openWorkload(r.kubeconfig)
	if err != nil {
		return err
	}
	manifests, err := r.render(ctx)
	if err != nil {
		return err
	}
	if err := w.empty(ctx, manifests); err != nil {
		return err
	}
	steps.done("the cluster is %s; its tokens are issued by %s", spec.Workload.UID, spec.Workload.Issuer)
	raw, err := mint(&join, &spec)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := declare(ctx, c, join.Cluster, spec); err != nil {
		return err
	}
	steps.done("registered with the hub: it may join once, until %s", spec.Join.IssuedAt.Add(tokenLife).Local().Format("15:04:05"))
	if err := w.apply(ctx, raw, manifests); err != nil {
		return fmt.Errorf("cluster %s is registered, but its spoke is not installed: %w; when that is mended, register it again", join.Cluster, err)
	}
	steps.done("the spoke is installed in %s", spokeKey.Namespace)
	return r.finish(ctx, c, w, join.Cluster, began, steps)
}

// finish waits until a cluster is ready, and takes the join file away again, which is of no more use. Where a person has to accept the
// spoke, it ends once that is what is waited for.
func (r registration) finish(ctx context.Context, c client.Client, w *workload, name string, began time.Time, steps *steps) error {
	if r.accept == "manual" {
		err := await(ctx, c, w, name, r.timeout, steps, waits)
		if err == nil {
			steps.done("its spoke has proved itself, and waits\nnext: writ cluster accept %s, if its receipt key is the one that its log says: kubectl -n writ-system logs writ-spoke-0", name)
		}
		return err
	}
	if err := await(ctx, c, w, name, r.timeout, steps, func(o *v1alpha1.Cluster) bool { return readySince(o, began) }); err != nil {
		return err
	}
	if err := client.IgnoreNotFound(w.client.Delete(ctx, deployspoke.JoinSecret(nil))); err != nil {
		return fmt.Errorf("cluster %s is ready, but the Secret %s is left in it: %w", name, deployspoke.JoinSecretName, err)
	}
	steps.done("cluster %s is ready\nnext: writ cluster describe %s", name, name)
	return nil
}

// empty refuses a cluster that has a spoke already, and values that speak of namespaces which are not there: half a spoke helps nobody.
func (w *workload) empty(ctx context.Context, manifests []byte) error {
	err := w.client.Get(ctx, spokeKey, &appsv1.StatefulSet{})
	if err == nil {
		return errors.New("a spoke is installed in this cluster already: writ cluster rejoin lets it join anew; helm uninstall takes it away")
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("the workload cluster: %w", err)
	}
	objects, err := apply.Parse(manifests)
	if err != nil {
		return err
	}
	made := map[string]bool{}
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			made[object.GetName()] = true
		}
	}
	for _, object := range objects {
		namespace := object.GetNamespace()
		if namespace == "" || made[namespace] {
			continue
		}
		if err := w.client.Get(ctx, client.ObjectKey{Name: namespace}, &corev1.Namespace{}); apierrors.IsNotFound(err) {
			return fmt.Errorf("actions.namespaces: there is no namespace %s in this cluster: create it first", namespace)
		} else if err != nil {
			return fmt.Errorf("the workload cluster: %w", err)
		}
		made[namespace] = true
	}
	return nil
}

// readySince reports whether a cluster is ready, and has been heard of since a moment.
func readySince(object *v1alpha1.Cluster, began time.Time) bool {
	ready, contact := meta.FindStatusCondition(object.Status.Conditions, v1alpha1.ClusterReady), object.Status.LastContact
	return ready != nil && ready.Status == metav1.ConditionTrue && contact != nil && !contact.Time.Before(began.Truncate(time.Second))
}

// apply brings the namespace first, then the join file, then everything.
func (w *workload) apply(ctx context.Context, join, manifests []byte) error {
	home, err := yaml.Marshal(deployspoke.Home())
	if err != nil {
		return err
	}
	if home, err = marked(home); err != nil {
		return err
	}
	if manifests, err = marked(manifests); err != nil {
		return err
	}
	if err := apply.YAML(ctx, w.config, home); err != nil {
		return err
	}
	if err := w.give(ctx, join); err != nil {
		return err
	}
	return apply.YAML(ctx, w.config, manifests)
}

// give puts the join file where the spoke looks for it.
func (w *workload) give(ctx context.Context, join []byte) error {
	raw, err := yaml.Marshal(deployspoke.JoinSecret(join))
	if err != nil {
		return err
	}
	return apply.YAML(ctx, w.config, raw)
}

// await follows a cluster until it is as wanted, and says what it waits for.
func await(ctx context.Context, c client.Client, w *workload, name string, within time.Duration, steps *steps, is func(*v1alpha1.Cluster) bool) error {
	object, why := &v1alpha1.Cluster{}, ""
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, within, true, func(ctx context.Context) (bool, error) {
		if err := c.Get(ctx, client.ObjectKey{Name: name}, object); err != nil {
			return false, access.Explain(err)
		}
		if is(object) {
			return true, nil
		}
		if now := w.why(ctx, object); now != why {
			why = now
			steps.waits(why)
		}
		return false, nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return fmt.Errorf("cluster %s is registered and its spoke installed, but it is not ready within %s: %s", name, within, why)
	}
	return err
}

// why says what stands between a cluster and its readiness: what the hub says, and what the spoke's pod does.
func (w *workload) why(ctx context.Context, object *v1alpha1.Cluster) string {
	said := show.OrDash(message(object))
	var pod corev1.Pod
	if err := w.client.Get(ctx, client.ObjectKey{Namespace: spokeKey.Namespace, Name: spokeKey.Name + "-0"}, &pod); err != nil {
		return said + "; its pod is not there yet"
	}
	for _, container := range pod.Status.ContainerStatuses {
		if ended := container.LastTerminationState.Terminated; ended != nil && !container.Ready && ended.Message != "" {
			return said + "; its pod ended: " + lastLine(ended.Message)
		}
		if waiting := container.State.Waiting; waiting != nil {
			return said + "; its pod waits: " + strings.TrimSpace(waiting.Reason+" "+lastLine(waiting.Message))
		}
	}
	return fmt.Sprintf("%s; its pod is %s", said, pod.Status.Phase)
}

// lastLine is the end of what a program said, fit for a terminal.
func lastLine(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	return show.Plain(lines[len(lines)-1])
}

// steps tells what was done, each with how long it took.
type steps struct {
	out   io.Writer
	began time.Time
}

func (s *steps) done(format string, args ...any) {
	fmt.Fprintf(s.out, "%7.1f s  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
	s.began = time.Now()
}

func (s *steps) waits(why string) { fmt.Fprintf(s.out, "           waiting: %s\n", why) }
