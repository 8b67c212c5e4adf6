package catalogue

import (
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

type hpaParameters struct {
	Min    *int32 `json:"min,omitempty"`
	Max    *int32 `json:"max,omitempty"`
	Target *int32 `json:"target,omitempty"`
}

type hpaState struct {
	Min    int32 `json:"min"`
	Max    int32 `json:"max"`
	Target int32 `json:"target,omitempty"` // of CPU, in percent of what is requested; 0 where there is none
	// LimitedByMax: it wants more pods than it may have.
	LimitedByMax bool `json:"limitedByMax"`
	metric       int  // place of the CPU metric
}

func adjustHPA() *Action {
	return entry[hpaParameters, hpaState]{
		name:  "adjust-hpa",
		words: Words{"low up to +50 % of max; medium beyond, and for a lower max", "the bounds as asked, and no longer limited by max where it grows", "the former numbers"}, summary: "Set the bounds and the CPU target of a HorizontalPodAutoscaler", kinds: []Kind{HorizontalPodAutoscaler},
		schema: func() *jsonschema.Schema {
			s := object(map[string]*jsonschema.Schema{
				"min":    integer("least number of pods", 1, maxReplicas),
				"max":    integer("greatest number of pods", 1, maxReplicas),
				"target": integer("average CPU use to aim for, in percent of the requests", 1, 1000),
			})
			s.MinProperties = ptr(1)
			return s
		}(),
		see: func(_ Case, p hpaParameters, target []byte, _ [][]byte, _ hpaState) (hpaState, error) {
			s, err := seeHPA(target)
			if err == nil && p.Target != nil && s.metric < 0 {
				err = fmt.Errorf("%w: it has no target of average CPU use", ErrUnfit)
			}
			return s, err
		},
		same: func(judged, now hpaState) bool {
			judged.LimitedByMax = now.LimitedByMax
			return Equal(judged, now)
		},
		tier: func(_ Case, p hpaParameters, s hpaState) (Tier, string) {
			switch limit := s.Max; {
			case p.Max != nil && *p.Max < limit:
				return Medium, fmt.Sprintf("max %d → %d may take pods away", limit, *p.Max)
			case p.Max != nil && 2*int64(*p.Max) > 3*int64(limit):
				return Medium, fmt.Sprintf("max %d → %d is beyond 50 %%", limit, *p.Max)
			case p.Min != nil && 2*int64(*p.Min) > 3*int64(limit):
				return Medium, fmt.Sprintf("min %d is beyond 150 %% of max %d", *p.Min, limit)
			}
			return Low, "max grows by no more than 50 %"
		},
		predict: func(_ Case, p hpaParameters, s hpaState) Prediction {
			want := encode(p)
			fields, _ := decode[map[string]any](want)
			if p.Max != nil && *p.Max > s.Max {
				fields["limitedByMax"] = false
			}
			return wants(5*time.Minute, fields)
		},
		inverse: func(_ Case, p hpaParameters, s hpaState) *Undo {
			former := hpaParameters{}
			if p.Min != nil {
				former.Min = &s.Min
			}
			if p.Max != nil {
				former.Max = &s.Max
			}
			if p.Target != nil {
				former.Target = &s.Target
			}
			return &Undo{Action: "adjust-hpa", Parameters: encode(former)}
		},
		change: changeHPA,
	}.action()
}

func seeHPA(target []byte) (hpaState, error) {
	live, err := decode[struct {
		Spec struct {
			MinReplicas *int32 `json:"minReplicas"`
			MaxReplicas int32  `json:"maxReplicas"`
			Metrics     []struct {
				Type     string `json:"type"`
				Resource struct {
					Name   string `json:"name"`
					Target struct {
						AverageUtilization int32 `json:"averageUtilization"`
					} `json:"target"`
				} `json:"resource"`
			} `json:"metrics"`
		} `json:"spec"`
		Status struct {
			Conditions []condition `json:"conditions"`
		} `json:"status"`
	}](target)
	s := hpaState{Min: 1, Max: live.Spec.MaxReplicas, metric: -1}
	if live.Spec.MinReplicas != nil {
		s.Min = *live.Spec.MinReplicas
	}
	for i, metric := range live.Spec.Metrics {
		if metric.Type == "Resource" && metric.Resource.Name == "cpu" && metric.Resource.Target.AverageUtilization > 0 {
			s.metric, s.Target = i, metric.Resource.Target.AverageUtilization
		}
	}
	for _, c := range live.Status.Conditions {
		s.LimitedByMax = s.LimitedByMax || c.Type == "ScalingLimited" && c.Status == "True" && c.Reason == "TooManyReplicas"
	}
	return s, err
}

func changeHPA(_ Case, _ Stamp, p hpaParameters, live liveObject[hpaState]) (Change, error) {
	operations := live.tests()
	says, was := "", live.state
	set := func(what, path string, asked *int32, is int32) {
		if asked == nil || *asked == is {
			return
		}
		operations = append(operations, operation{"add", path, *asked})
		says += fmt.Sprintf(", %s %d → %d", what, is, *asked)
	}
	set("min", "/spec/minReplicas", p.Min, was.Min)
	set("max", "/spec/maxReplicas", p.Max, was.Max)
	set("CPU target", fmt.Sprintf("/spec/metrics/%d/resource/target/averageUtilization", was.metric), p.Target, was.Target)
	if says == "" {
		return Change{}, ErrNothingToDo
	}
	return Change{PatchType: jsonPatch, Body: encode(operations), Says: says[2:]}, nil
}
