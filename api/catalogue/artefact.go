package catalogue

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/writ-dev/writ/api/redact"
)

// MaxArtefact is the longest artefact, in bytes. logBudget is what all logs together may take of it, describing one object and its
// events the rest.
const (
	MaxArtefact = 64 << 10
	logBudget   = 36 << 10
	maxLog      = 256 << 10 // bytes of one log that are read; of them the end is told
	maxEvents   = 30
	maxPart     = 6 << 10 // bytes of a part that is no log
)

// Found is what a read of an action with the effect Collects brought: the answer, or why there is none.
type Found struct {
	Raw     []byte
	Problem string
}

// Artefact puts together what was collected: the target, and then what was read besides, in the order of Collects. It is text, of at
// most MaxArtefact bytes, without secrets as far as package redact knows them, without the values of environment variables, and
// without anything that a terminal would not show as it is. Everything in it is hostile all the same: whoever can write a log, or an
// event, wrote it.
func (a *Action) Artefact(c Case, target []byte, found []Found) []byte {
	hide := values(target)
	for i, read := range a.Collects(c) {
		if read.Kind == Pod && read.Subresource == "" {
			hide = append(hide, values(found[i].Raw)...)
		}
	}
	var out strings.Builder
	part := func(title, text string) {
		text = redact.Text(text, hide)
		fmt.Fprintf(&out, "== %s\n%s\n", title, shown(text))
	}
	part(c.Target.String(), described(target))
	reads := a.Collects(c)
	logs := 0
	for _, read := range reads {
		if read.Subresource == "log" {
			logs++
		}
	}
	for i, read := range reads {
		title, text := titleOf(read), string(found[i].Raw)
		switch {
		case found[i].Problem != "":
			text = "not there: " + found[i].Problem
		case read.Kind == event:
			text = clip(events(found[i].Raw), maxPart)
		case read.Subresource == "":
			text = described(found[i].Raw)
		default:
			text = clip(text, logBudget/logs)
		}
		part(title, text)
	}
	return []byte(clip(out.String(), MaxArtefact))
}

func titleOf(r Read) string {
	switch {
	case r.Kind == event:
		return "events, " + r.Fields
	case r.Subresource == "log":
		return fmt.Sprintf("log of %s/%s, the last %s lines", r.Name, r.Query["container"], r.Query["tailLines"])
	}
	return strings.ToLower(r.Kind.Kind) + "/" + r.Name
}

// clip keeps the end of what is too long: in a log that is what happened last.
func clip(text string, most int) string {
	const cut = "…\n"
	if len(text) <= most {
		return text
	}
	return cut + strings.ToValidUTF8(text[len(text)-most+len(cut):], "")
}

// shown takes out what a terminal must not see.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, "�"))
}

// described is what is told of an object: fields by name, and nothing that is not named here. Annotations, commands, arguments,
// volumes and the values of variables are not.
func described(raw []byte) string {
	var object map[string]any
	if json.Unmarshal(raw, &object) != nil {
		return "it cannot be read"
	}
	told := keep(object, map[string][]string{
		"":         {"kind", "metadata", "spec", "status"},
		"metadata": {"name", "namespace", "uid", "labels", "creationTimestamp", "deletionTimestamp", "generation"},
		"spec": {"replicas", "paused", "strategy", "updateStrategy", "nodeName", "restartPolicy", "priorityClassName", "terminationGracePeriodSeconds",
			"unschedulable", "taints", "containers", "initContainers", "template"},
		"template":       {"spec"},
		"containers":     {"name", "image", "ports", "resources", "env"},
		"initContainers": {"name", "image", "resources", "env"},
		"env":            {"name"},
		"status": {"phase", "reason", "message", "conditions", "containerStatuses", "initContainerStatuses", "replicas", "readyReplicas",
			"updatedReplicas", "availableReplicas", "unavailableReplicas", "observedGeneration", "desiredNumberScheduled", "numberReady",
			"numberAvailable", "capacity", "allocatable", "nodeInfo", "startTime", "qosClass"},
		"containerStatuses":     {"name", "ready", "restartCount", "state", "lastState", "image"},
		"initContainerStatuses": {"name", "ready", "restartCount", "state", "lastState", "image"},
	}, "")
	text, err := json.MarshalIndent(told, "", " ")
	if err != nil {
		return "it cannot be told"
	}
	return clip(string(text), maxPart)
}

// keep is a value with only the fields that are named for where it stands; all of them where nothing is named for that.
func keep(v any, fields map[string][]string, at string) any {
	switch v := v.(type) {
	case map[string]any:
		names, bounded := fields[at]
		kept := map[string]any{}
		for name, value := range v {
			if !bounded || slices.Contains(names, name) {
				kept[name] = keep(value, fields, name)
			}
		}
		return kept
	case []any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = keep(v[i], fields, at)
		}
		return all
	}
	return v
}

// values are those of the environment variables of a pod, or of a workload's template.
func values(raw []byte) (all []string) {
	type container struct {
		Env []struct {
			Value string `json:"value"`
		} `json:"env"`
	}
	type spec struct {
		Init       []container `json:"initContainers"`
		Containers []container `json:"containers"`
	}
	o, _ := decode[struct {
		Spec struct {
			spec
			Template struct {
				Spec spec `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}](raw)
	for _, c := range slices.Concat(o.Spec.Init, o.Spec.Containers, o.Spec.Template.Spec.Init, o.Spec.Template.Spec.Containers) {
		for _, variable := range c.Env {
			all = append(all, variable.Value)
		}
	}
	return all
}

// events are a list's, one a line, the last ones.
func events(raw []byte) string {
	type one struct {
		Last     string `json:"lastTimestamp"`
		Time     string `json:"eventTime"`
		Type     string `json:"type"`
		Reason   string `json:"reason"`
		Message  string `json:"message"`
		Count    int    `json:"count"`
		Involved struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"involvedObject"`
	}
	list, err := decode[listOf[one]](raw)
	if err != nil {
		return "they cannot be read"
	}
	at := func(e one) string {
		if e.Last != "" {
			return e.Last
		}
		return e.Time
	}
	slices.SortStableFunc(list.Items, func(a, b one) int { return strings.Compare(at(a), at(b)) })
	lines := []string{}
	for _, e := range list.Items[max(0, len(list.Items)-maxEvents):] {
		lines = append(lines, fmt.Sprintf("%s %s %s %s/%s ×%d: %s", at(e), e.Type, e.Reason, strings.ToLower(e.Involved.Kind), e.Involved.Name,
			max(1, e.Count), strings.Join(strings.Fields(e.Message), " ")))
	}
	if len(lines) == 0 {
		return "none"
	}
	return strings.Join(lines, "\n")
}
