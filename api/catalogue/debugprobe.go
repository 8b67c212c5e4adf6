package catalogue

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The modes of a probe.
const (
	ProbeResolve = "resolve"
	ProbeConnect = "connect"
)

// The longest a probe may try, and how long it tries where nobody says, in seconds.
const (
	MaxProbe     = 30
	defaultProbe = 5
)

// Probe is what a pod of the sandbox does for an action, and where its packets may go for that.
type Probe struct {
	Mode string `json:"mode"`
	// Host is the name to resolve, without the domain of the cluster, or the address to connect to.
	Host    string        `json:"host"`
	Port    int32         `json:"port,omitempty"` // TCP; 0 where a name is resolved
	Timeout time.Duration `json:"timeout"`
	// To is where it may connect to. Whoever resolves may ask the cluster's DNS, and nothing else.
	To []Peer `json:"-"`
}

// String is the probe in words.
func (p Probe) String() string {
	if p.Mode == ProbeResolve {
		return "resolve " + p.Host
	}
	return "connect to " + p.address()
}

func (p Probe) address() string {
	if strings.Contains(p.Host, ":") {
		return fmt.Sprintf("[%s]:%d", p.Host, p.Port)
	}
	return fmt.Sprintf("%s:%d", p.Host, p.Port)
}

// Peer is one address, or the pods of a namespace that have these labels, and the one TCP port there.
type Peer struct {
	Address   string
	Namespace string
	Pods      map[string]string
	Port      intstr.IntOrString
}

// ProbeResult is one word for what a probe met.
type ProbeResult string

// What probes meet: the first two are what was hoped for.
const (
	Connected   ProbeResult = "connected"
	Resolved    ProbeResult = "resolved"
	Refused     ProbeResult = "refused"     // something at the address says that nothing listens there
	NotFound    ProbeResult = "notFound"    // DNS knows no address of that name
	TimedOut    ProbeResult = "timedOut"    // nobody answered
	Unreachable ProbeResult = "unreachable" // there is no way to the address
	NoAnswer    ProbeResult = "failed"      // anything else
)

// Probed is what a probe found out. Nothing in it is text of others.
type Probed struct {
	Mode         string      `json:"mode"`
	Host         string      `json:"host"`
	Port         int32       `json:"port,omitempty"`
	Result       ProbeResult `json:"result"`
	Addresses    []string    `json:"addresses,omitempty"` // that the name has
	Tries        int         `json:"tries"`
	Milliseconds int64       `json:"milliseconds"` // of all tries
}

// MaxProbed is how many addresses a probe tells.
const MaxProbed = 16

// Check reports whether this can be the answer to a probe. It is from a pod: nothing else of it is believed.
func (r Probed) Check(p Probe) error {
	possible := []ProbeResult{Connected, Refused, TimedOut, Unreachable, NoAnswer}
	if p.Mode == ProbeResolve {
		possible = []ProbeResult{Resolved, NotFound, TimedOut, NoAnswer}
	}
	switch {
	case r.Mode != p.Mode || r.Host != p.Host || r.Port != p.Port:
		return fmt.Errorf("it is of another probe than %s", p)
	case !slices.Contains(possible, r.Result):
		return fmt.Errorf("the result %q is none of %v", r.Result, possible)
	case (len(r.Addresses) > 0) != (r.Result == Resolved) || len(r.Addresses) > MaxProbed:
		return fmt.Errorf("%d addresses do not go with %q", len(r.Addresses), r.Result)
	case r.Tries < 1 || r.Milliseconds < 0:
		return fmt.Errorf("%d tries in %d ms cannot be", r.Tries, r.Milliseconds)
	}
	for _, address := range r.Addresses {
		if _, err := netip.ParseAddr(address); err != nil {
			return fmt.Errorf("an address of it is none: %w", err)
		}
	}
	return nil
}

// Artefact is what was found out of a target, as text.
func (r Probed) Artefact(t Target) []byte {
	return fmt.Appendf(nil, "== probe of %s\n%s\n", t, encode(r))
}

type debugParameters struct {
	Mode           string `json:"mode"`
	Port           int32  `json:"port,omitempty"`
	TimeoutSeconds int32  `json:"timeoutSeconds,omitempty"`
}

// debugState is what of the target is probed. Pods are those behind the address.
type debugState struct {
	Host    string              `json:"host"`
	Pods    map[string]string   `json:"pods,omitempty"`
	PodPort *intstr.IntOrString `json:"podPort,omitempty"`
}

func debugProbe() *Action {
	e := entry[debugParameters, debugState]{
		name: "debug-probe", summary: "Resolve the name of a Service or a Pod, or connect to a port of it, from a pod of the sandbox",
		words: Words{"medium", "what was found out is stored on the hub, with the digest that the receipt names",
			"none to ask for: the spoke deletes the Job, and what let it through, with its answer"},
		kinds: []Kind{Service, Pod}, effect: Collects, deadline: 2 * time.Minute,
		schema: object(map[string]*jsonschema.Schema{
			"mode": choice("resolve (ask the cluster's DNS for the target's own name) or connect (open a TCP connection to a port of it, and close it: nothing is sent or read)",
				ProbeResolve, ProbeConnect),
			"port":           integer("with connect: a TCP port of the Service, or one that a container of the Pod names", 1, 65535),
			"timeoutSeconds": integer("how long it is tried; 5 if left out", 1, MaxProbe),
		}, "mode"),
		rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(c.Kind, "", c.Target.Name, "get")}
		},
		see: func(c Case, p debugParameters, target []byte, _ [][]byte, _ debugState) (debugState, error) {
			switch {
			case p.Mode == ProbeConnect && p.Port == 0:
				return debugState{}, fmt.Errorf("%w: to connect, say to which port of it: port=…", ErrUnfit)
			case p.Mode == ProbeResolve && p.Port != 0:
				return debugState{}, fmt.Errorf("%w: a name is resolved without a port: leave port out, or connect", ErrUnfit)
			case c.Kind == Pod:
				return probedPod(c, p, target)
			}
			return probedService(c, p, target)
		},
		tier: func(Case, debugParameters, debugState) (Tier, string) {
			return Medium, "it opens connections in the cluster"
		},
		predict: func(Case, debugParameters, debugState) Prediction {
			return Prediction{Expect: Stored, WithinSeconds: 180}
		},
		change: func(c Case, _ Stamp, p debugParameters, live liveObject[debugState]) (Change, error) {
			return Change{Verb: Nothing, Says: probeOf(c, p, live.state).String()}, nil
		},
	}
	a := e.action()
	a.Probe = func(c Case) Probe { return probeOf(c, parameters[debugParameters](c), stateOf[debugState](c.Facts)) }
	return a
}

func probeOf(c Case, p debugParameters, s debugState) Probe {
	if p.TimeoutSeconds == 0 {
		p.TimeoutSeconds = defaultProbe
	}
	probe := Probe{Mode: p.Mode, Host: s.Host, Port: p.Port, Timeout: time.Duration(p.TimeoutSeconds) * time.Second}
	if p.Mode == ProbeResolve {
		return probe
	}
	// Whether a network judges the Service's address or those of the pods behind it, and a pod's address or its labels, is up to it.
	probe.To = []Peer{{Address: s.Host, Port: intstr.FromInt32(p.Port)}}
	if len(s.Pods) > 0 && s.PodPort != nil {
		probe.To = append(probe.To, Peer{Namespace: c.Target.Namespace, Pods: s.Pods, Port: *s.PodPort})
	}
	return probe
}

func probedService(c Case, p debugParameters, target []byte) (debugState, error) {
	live, err := decode[struct {
		Spec struct {
			Type      string            `json:"type"`
			ClusterIP string            `json:"clusterIP"`
			Selector  map[string]string `json:"selector"`
			Ports     []struct {
				Port       int32               `json:"port"`
				Protocol   string              `json:"protocol"`
				TargetPort *intstr.IntOrString `json:"targetPort"`
			} `json:"ports"`
		} `json:"spec"`
	}](target)
	if err != nil {
		return debugState{}, err
	}
	if live.Spec.Type == "ExternalName" {
		return debugState{}, fmt.Errorf("%w: its name is that of something outside the cluster, which is not probed", ErrUnfit)
	}
	if p.Mode == ProbeResolve {
		return debugState{Host: c.Target.Name + "." + c.Target.Namespace + ".svc"}, nil
	}
	if len(live.Spec.Selector) == 0 {
		return debugState{}, fmt.Errorf("%w: it selects no pods, so that its addresses may be anybody's: only pods are connected to", ErrUnfit)
	}
	if !unicast(live.Spec.ClusterIP) {
		return debugState{}, fmt.Errorf("%w: it has no address of its own (headless): connect to one of its pods", ErrUnfit)
	}
	var has []int32
	for _, port := range live.Spec.Ports {
		if !overTCP(port.Protocol) {
			continue
		}
		if has = append(has, port.Port); port.Port == p.Port {
			if port.TargetPort == nil {
				port.TargetPort = ptr(intstr.FromInt32(port.Port))
			}
			return debugState{Host: live.Spec.ClusterIP, Pods: live.Spec.Selector, PodPort: port.TargetPort}, nil
		}
	}
	return debugState{}, noSuchPort(p.Port, has)
}

func probedPod(c Case, p debugParameters, target []byte) (debugState, error) {
	type container struct {
		Ports []struct {
			ContainerPort int32  `json:"containerPort"`
			Protocol      string `json:"protocol"`
		} `json:"ports"`
	}
	live, err := decode[struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
		Spec struct {
			Hostname    string      `json:"hostname"`
			Subdomain   string      `json:"subdomain"`
			HostNetwork bool        `json:"hostNetwork"`
			Init        []container `json:"initContainers"`
			Containers  []container `json:"containers"`
		} `json:"spec"`
		Status struct {
			Phase string `json:"phase"`
			PodIP string `json:"podIP"`
		} `json:"status"`
	}](target)
	if err != nil {
		return debugState{}, err
	}
	if p.Mode == ProbeResolve {
		if live.Spec.Hostname == "" || live.Spec.Subdomain == "" {
			return debugState{}, fmt.Errorf("%w: it has no name of its own in DNS, which takes spec.hostname and spec.subdomain: resolve its Service", ErrUnfit)
		}
		return debugState{Host: strings.Join([]string{live.Spec.Hostname, live.Spec.Subdomain, c.Target.Namespace, "svc"}, ".")}, nil
	}
	if live.Spec.HostNetwork {
		return debugState{}, fmt.Errorf("%w: it is on the network of its node, whose address is not its own", ErrUnfit)
	}
	if !unicast(live.Status.PodIP) || live.Status.Phase != "Running" {
		return debugState{}, fmt.Errorf("%w: it has no address of its own (phase %s): ask again once it is Running", ErrUnfit, cmp.Or(live.Status.Phase, "none"))
	}
	var has []int32
	for _, one := range slices.Concat(live.Spec.Containers, live.Spec.Init) {
		for _, port := range one.Ports {
			if overTCP(port.Protocol) {
				has = append(has, port.ContainerPort)
			}
		}
	}
	if !slices.Contains(has, p.Port) {
		return debugState{}, noSuchPort(p.Port, has)
	}
	return debugState{Host: live.Status.PodIP, Pods: live.Metadata.Labels, PodPort: ptr(intstr.FromInt32(p.Port))}, nil
}

// unicast tells the address of a Service or a Pod from none, and from those that mean the node itself or its link.
func unicast(address string) bool {
	parsed, err := netip.ParseAddr(address)
	return err == nil && parsed.IsGlobalUnicast()
}

func overTCP(protocol string) bool { return protocol == "" || protocol == "TCP" }

func noSuchPort(port int32, has []int32) error {
	if len(has) == 0 {
		return fmt.Errorf("%w: it names no TCP port", ErrUnfit)
	}
	slices.Sort(has)
	return fmt.Errorf("%w: it has no TCP port %d; it has %v", ErrUnfit, port, slices.Compact(has))
}
