package bounds

import (
	"encoding/json"
	"fmt"

	"github.com/writ-dev/writ/api/catalogue"
)

// Scaling bounds the number of replicas that may be asked for.
type Scaling struct {
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
	// Current bounds it by what the workload has now; Baseline by what it had of late.
	Current  *Share `json:"current,omitempty"`
	Baseline *Share `json:"baseline,omitempty"`
}

// Share is a part of a number, in percent of it; more than 100 is more than the number.
type Share struct {
	MinPercent *int32 `json:"minPercent,omitempty"`
	MaxPercent *int32 `json:"maxPercent,omitempty"`
}

// Check refuses bounds that nothing can meet.
func (s Scaling) Check() error {
	if s.MinReplicas != nil && s.MaxReplicas != nil && *s.MinReplicas > *s.MaxReplicas {
		return fmt.Errorf("minReplicas %d is above maxReplicas %d", *s.MinReplicas, *s.MaxReplicas)
	}
	for name, share := range map[string]*Share{"current": s.Current, "baseline": s.Baseline} {
		if share != nil && share.MinPercent != nil && share.MaxPercent != nil && *share.MinPercent > *share.MaxPercent {
			return fmt.Errorf("%s: minPercent %d is above maxPercent %d", name, *share.MinPercent, *share.MaxPercent)
		}
	}
	return nil
}

// Ask is a number of replicas that an action asks for, and the number there is of what it changes.
type Ask struct{ Wanted, Now int64 }

// Asked is what parameters ask for: replicas of a workload, or the greatest number that an autoscaler may make of them (the least,
// where that alone is asked for). ok is false where they ask for no number of replicas.
func Asked(parameters json.RawMessage, observed catalogue.Facts) (ask Ask, ok bool, err error) {
	var asked struct {
		Replicas, Min, Max *int64
	}
	if len(parameters) == 0 {
		return Ask{}, false, nil
	}
	if err := json.Unmarshal(parameters, &asked); err != nil {
		return Ask{}, false, fmt.Errorf("parameters: %w", err)
	}
	autoscaler := autoscalerOf(observed)
	switch {
	case asked.Replicas != nil:
		return Ask{*asked.Replicas, int64(observed.Replicas)}, true, nil
	case asked.Max != nil:
		return Ask{*asked.Max, autoscaler.Max}, true, nil
	case asked.Min != nil:
		return Ask{*asked.Min, autoscaler.Min}, true, nil
	}
	return Ask{}, false, nil
}

// AsksReplicas reports whether an action has a parameter that Asked reads.
func AsksReplicas(action *catalogue.Action) bool {
	return action.Schema.Properties["replicas"] != nil || action.Schema.Properties["max"] != nil
}

// Counted is the number of replicas that a target of that kind stands for: its own, or the most that an autoscaler may make. ok is
// false where there is none.
func Counted(kind string, observed catalogue.Facts) (replicas int64, ok bool) {
	switch {
	case Workload(kind):
		return int64(observed.Replicas), true
	case kind == catalogue.HorizontalPodAutoscaler.Kind && observed.State != nil:
		return autoscalerOf(observed).Max, true
	}
	return 0, false
}

type autoscaler struct{ Min, Max int64 }

func autoscalerOf(observed catalogue.Facts) (a autoscaler) {
	_ = json.Unmarshal(observed.State, &a)
	return a
}

// Objection is why a number of replicas is out of bounds, and the bound that says so; both empty where it is not. current and
// baseline are numbers of replicas; a baseline below 0 is not known, and meets no bound.
func (s Scaling) Objection(asked, current, baseline int64) (bound, why string) {
	switch {
	case s.MinReplicas != nil && asked < int64(*s.MinReplicas):
		return "minReplicas", fmt.Sprintf("%d replicas are asked for, at least %d are allowed", asked, *s.MinReplicas)
	case s.MaxReplicas != nil && asked > int64(*s.MaxReplicas):
		return "maxReplicas", fmt.Sprintf("%d replicas are asked for, at most %d are allowed", asked, *s.MaxReplicas)
	}
	if bound, why = s.Current.objection(asked, current, "there are now"); why != "" {
		return "current." + bound, why
	}
	if s.Baseline == nil {
		return "", ""
	}
	if baseline < 0 {
		return "baseline", "the trailing baseline is not known"
	}
	if bound, why = s.Baseline.objection(asked, baseline, "there were of late"); why != "" {
		return "baseline." + bound, why
	}
	return "", ""
}

func (s *Share) objection(asked, of int64, when string) (bound, why string) {
	switch {
	case s == nil:
	case s.MinPercent != nil && asked*100 < int64(*s.MinPercent)*of:
		return "minPercent", fmt.Sprintf("%d replicas are less than %d %% of the %d that %s", asked, *s.MinPercent, of, when)
	case s.MaxPercent != nil && asked*100 > int64(*s.MaxPercent)*of:
		return "maxPercent", fmt.Sprintf("%d replicas are more than %d %% of the %d that %s", asked, *s.MaxPercent, of, when)
	}
	return "", ""
}
