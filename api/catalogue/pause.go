package catalogue

import "time"

func pauseRollout() *Action {
	return pausing("pause-rollout", "Stop a Deployment's rollout where it is", true)
}

func resumeRollout() *Action {
	return pausing("resume-rollout", "Let a Deployment's paused rollout go on", false)
}

func pausing(name, summary string, paused bool) *Action {
	opposite := map[bool]string{true: "resume-rollout", false: "pause-rollout"}[paused]
	return toggle(name, summary, opposite, Deployment, "paused", paused)
}

func suspendCronJob() *Action {
	return toggle("suspend-cronjob", "Keep a CronJob from starting jobs", "resume-cronjob", CronJob, "suspend", true)
}

func resumeCronJob() *Action {
	return toggle("resume-cronjob", "Let a suspended CronJob start jobs again", "suspend-cronjob", CronJob, "suspend", false)
}

// toggle sets one boolean field of the spec; the opposite action puts it back.
func toggle(name, summary, opposite string, kind Kind, field string, to bool) *Action {
	return entry[struct{}, map[string]bool]{
		name: name, summary: summary, kinds: []Kind{kind}, schema: object(nil),
		words: Words{"low", "`" + field + "` as asked", opposite},
		see: func(_ Case, _ struct{}, target []byte, _ [][]byte, _ map[string]bool) (map[string]bool, error) {
			live, err := decode[struct {
				Spec map[string]any `json:"spec"`
			}](target)
			is, _ := live.Spec[field].(bool)
			return map[string]bool{field: is}, err
		},
		tier: func(Case, struct{}, map[string]bool) (Tier, string) {
			return Low, "it sets " + field + " alone, and " + opposite + " puts it back"
		},
		predict: func(Case, struct{}, map[string]bool) Prediction {
			return wants(time.Minute, map[string]any{field: to})
		},
		inverse: func(Case, struct{}, map[string]bool) *Undo {
			return &Undo{Action: opposite, Parameters: encode(struct{}{})}
		},
		change: func(_ Case, _ Stamp, _ struct{}, live liveObject[map[string]bool]) (Change, error) {
			if live.state[field] == to {
				return Change{}, ErrNothingToDo
			}
			return live.merged(map[string]any{"spec": map[string]any{field: to}}, "%s %t → %t", field, !to, to), nil
		},
	}.action()
}
