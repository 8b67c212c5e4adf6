package catalogue

import (
	"fmt"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"
)

type finalizerParameters struct {
	Finalizer string `json:"finalizer"`
}

type finalizerState struct {
	Finalizers  []string `json:"finalizers"`
	Terminating string   `json:"terminating"`
}

func removeFinalizer() *Action {
	return entry[finalizerParameters, finalizerState]{
		name:  "remove-finalizer",
		words: Words{"high", "gone", "none"}, summary: "Take one finalizer from an object that has been terminating for more than 10 minutes",
		kinds: []Kind{Pod, Job, CronJob, Service, ConfigMap, PersistentVolumeClaim, Deployment, StatefulSet, DaemonSet}, effect: Removes,
		schema: object(map[string]*jsonschema.Schema{
			"finalizer": text("the finalizer; which ones may be taken is for policies to say", `^[a-z0-9][-a-zA-Z0-9./]*$`, 316),
		}, "finalizer"),
		see: func(_ Case, p finalizerParameters, target []byte, _ [][]byte, judged finalizerState) (finalizerState, error) {
			if target == nil {
				return judged, nil
			}
			live, err := decode[struct {
				Metadata struct {
					Finalizers        []string `json:"finalizers"`
					DeletionTimestamp string   `json:"deletionTimestamp"`
				} `json:"metadata"`
			}](target)
			s := finalizerState{live.Metadata.Finalizers, live.Metadata.DeletionTimestamp}
			switch {
			case err != nil:
				return s, err
			case s.Terminating == "":
				return s, fmt.Errorf("%w: it is not terminating", ErrUnfit)
			case !slices.Contains(s.Finalizers, p.Finalizer) && judged.Terminating == "":
				return s, fmt.Errorf("%w: it has no finalizer %s", ErrUnfit, p.Finalizer)
			}
			return s, nil
		},
		tier: func(Case, finalizerParameters, finalizerState) (Tier, string) {
			return High, "what the finalizer waits for is never cleaned up"
		},
		predict: func(Case, finalizerParameters, finalizerState) Prediction {
			return Prediction{Expect: Gone, WithinSeconds: 60}
		},
		change: func(_ Case, stamp Stamp, p finalizerParameters, live liveObject[finalizerState]) (Change, error) {
			if err := stuck(live.state.Terminating, stamp.At); err != nil {
				return Change{}, err
			}
			place := fmt.Sprintf("/metadata/finalizers/%d", slices.Index(live.state.Finalizers, p.Finalizer))
			return Change{PatchType: jsonPatch, Says: "finalizer " + p.Finalizer + " removed, terminating since " + live.state.Terminating,
				Body: encode(append(live.marked(), operation{"test", place, p.Finalizer}, operation{"remove", place, nil}))}, nil
		},
	}.action()
}
