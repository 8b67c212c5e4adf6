package catalogue

import (
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

// container is the part of a container that actions look at.
type container struct {
	Name  string `json:"name"`
	Image string `json:"image"`
	Env   []struct {
		Name      string `json:"name"`
		Value     string `json:"value"`
		ValueFrom *struct {
			ConfigMapKeyRef *struct {
				Name string `json:"name"`
				Key  string `json:"key"`
			} `json:"configMapKeyRef"`
		} `json:"valueFrom"`
	} `json:"env"`
	Resources      resources `json:"resources"`
	LivenessProbe  *probe    `json:"livenessProbe"`
	ReadinessProbe *probe    `json:"readinessProbe"`
	StartupProbe   *probe    `json:"startupProbe"`
}

var containerName = text("name of the container", labelName, 63)

// containerOf finds a container of a workload's pod template, or of a pod.
func containerOf(kind Kind, target []byte, name string) (container, error) {
	type podSpec struct {
		Containers []container `json:"containers"`
	}
	live, err := decode[struct {
		Spec struct {
			podSpec
			Template struct {
				Spec podSpec `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}](target)
	if err != nil {
		return container{}, err
	}
	all := live.Spec.Template.Spec.Containers
	if kind == Pod {
		all = live.Spec.Containers
	}
	for _, c := range all {
		if c.Name == name {
			return c, nil
		}
	}
	return container{}, fmt.Errorf("%w: it has no container %q", ErrUnfit, name)
}

// template is a patch of one container of a pod template.
func template(name string, fields map[string]any) map[string]any {
	fields["name"] = name
	return map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{fields}}}}}
}

// rolledOut predicts that the new template is fully available, with the state asked for.
func rolledOut(c Case, want map[string]any) Prediction {
	return Prediction{Expect: Available, AfterGeneration: c.Facts.Generation, Want: encode(want), WithinSeconds: int64((10 * time.Minute).Seconds())}
}

// templateBefore undoes a change of the pod template whose former values the action itself cannot name.
func templateBefore(c Case) *Undo {
	if c.Facts.Revision == 0 {
		return nil
	}
	return &Undo{Action: "rollback", Parameters: encode(rollbackParameters{Revision: c.Facts.Revision})}
}

func withContainer(properties map[string]*jsonschema.Schema, required ...string) *jsonschema.Schema {
	properties["container"] = containerName
	return object(properties, append([]string{"container"}, required...)...)
}
