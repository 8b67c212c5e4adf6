package catalogue

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
)

// madeState is what making a Job of a template is judged on, and what became of the Job.
type madeState struct {
	Template string `json:"template"` // digest of what the Job is made of
	Job      string `json:"job"`      // Complete, Failed, Running, or empty where there is none
}

func runCronJobNow() *Action {
	return makingJob("run-cronjob-now", "Start a Job of a CronJob's template now", CronJob)
}

func retryJob() *Action {
	return makingJob("retry-job", "Start a new Job of a failed Job's template", Job)
}

func makingJob(name, summary string, kind Kind) *Action {
	return entry[struct{}, madeState]{
		name: name, summary: summary, kinds: []Kind{kind}, schema: object(nil), effect: Creates,
		words: Words{"medium", "the Job completes", "delete-job of the Job"},
		rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(c.Kind, "", c.Target.Name, "get"), rule(Job, "", "", "create")}
		},
		made: madeJob,
		gets: []Kind{Job},
		look: func(c Case, _ []byte, _ madeState) []Read {
			if c.OrderID == "" {
				return nil
			}
			return []Read{madeJob(c)}
		},
		see: func(_ Case, _ struct{}, target []byte, looked [][]byte, _ madeState) (madeState, error) {
			template, err := jobTemplate(kind, target)
			sum := sha256.Sum256(encode(template))
			s := madeState{Template: hex.EncodeToString(sum[:8])}
			if len(looked) == 1 && looked[0] != nil {
				s.Job = progress(looked[0])
			}
			return s, err
		},
		same: func(judged, now madeState) bool { return judged.Template == now.Template },
		tier: func(Case, struct{}, madeState) (Tier, string) { return Medium, "it runs a job once more" },
		predict: func(Case, struct{}, madeState) Prediction {
			return wants(30*time.Minute, map[string]any{"job": "Complete"})
		},
		inverse: func(c Case, _ struct{}, _ madeState) *Undo {
			if c.OrderID == "" {
				return nil
			}
			return &Undo{Action: "delete-job", Parameters: encode(propagationParameters{"Background"}),
				Target: &Target{APIVersion: Job.APIVersion, Kind: Job.Kind, Namespace: c.Target.Namespace, Name: madeJob(c).Name}}
		},
		change: func(c Case, stamp Stamp, _ struct{}, live liveObject[madeState]) (Change, error) {
			template, err := jobTemplate(kind, live.raw)
			if err != nil {
				return Change{}, err
			}
			made := madeJob(c)
			metadata := map[string]any{"name": made.Name, "namespace": c.Target.Namespace, "labels": template.Metadata.Labels,
				"annotations": map[string]string{OrderAnnotation: stamp.OrderID}}
			return Change{Verb: Create, Kind: Job, Name: made.Name, Says: "start Job " + made.Name,
				Body: encode(map[string]any{"apiVersion": Job.APIVersion, "kind": Job.Kind, "metadata": metadata, "spec": template.Spec})}, nil
		},
	}.action()
}

func madeJob(c Case) Read { return Read{Kind: Job, Name: madeName(c)} }

// madeName names what an order makes: after its target, and after the order, so that there can be only one.
func madeName(c Case) string {
	sum := sha256.Sum256([]byte(c.OrderID))
	return c.Target.Name[:min(len(c.Target.Name), 45)] + "-writ-" + hex.EncodeToString(sum[:5])
}

// madeNames are the names that madeName gives.
var madeNames = regexp.MustCompile(`-writ-[0-9a-f]{10}$`)

type jobObject struct {
	Metadata struct {
		Labels map[string]string `json:"labels,omitempty"`
	} `json:"metadata"`
	Spec map[string]any `json:"spec"`
}

// generatedLabels are set by the Job controller, on the Job's pods; another Job must not have them.
var generatedLabels = []string{"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"}

// jobTemplate is what a new Job is made of: the template of a CronJob, or what somebody once wrote of a Job.
func jobTemplate(kind Kind, target []byte) (jobObject, error) {
	if kind == CronJob {
		live, err := decode[struct {
			Spec struct {
				Template jobObject `json:"jobTemplate"`
			} `json:"spec"`
		}](target)
		return live.Spec.Template, err
	}
	live, err := decode[struct {
		jobObject
		Status struct {
			Conditions []condition `json:"conditions"`
		} `json:"status"`
	}](target)
	if err != nil {
		return jobObject{}, err
	}
	if !isTrue(live.Status.Conditions, "Failed") {
		return jobObject{}, fmt.Errorf("%w: it has not failed", ErrUnfit)
	}
	for _, field := range []string{"selector", "manualSelector", "suspend"} {
		delete(live.Spec, field)
	}
	pod, _ := live.Spec["template"].(map[string]any)
	metadata, _ := pod["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	for _, key := range generatedLabels {
		delete(labels, key)
		delete(live.Metadata.Labels, key)
	}
	return live.jobObject, nil
}

func progress(job []byte) string {
	live, err := decode[struct {
		Status struct {
			Conditions []condition `json:"conditions"`
		} `json:"status"`
	}](job)
	switch {
	case err != nil:
		return ""
	case isTrue(live.Status.Conditions, "Complete"):
		return "Complete"
	case isTrue(live.Status.Conditions, "Failed"):
		return "Failed"
	}
	return "Running"
}

type propagationParameters struct {
	Propagation string `json:"propagation,omitempty"`
}

type jobState struct {
	Job string `json:"job"`
}

func deleteJob() *Action {
	return entry[propagationParameters, jobState]{
		name:  "delete-job",
		words: Words{"low if it has finished, medium if it has not", "gone", "none"}, summary: "Delete a finished or stuck Job", kinds: []Kind{Job}, effect: Deletes,
		schema: object(map[string]*jsonschema.Schema{
			"propagation": choice("what becomes of its pods: deleted after it (Background, if left out), before it, or left", "Background", "Foreground", "Orphan"),
		}),
		rules: func(c Case) []rbacv1.PolicyRule {
			return []rbacv1.PolicyRule{rule(Job, "", c.Target.Name, "get", "delete")}
		},
		see: func(_ Case, _ propagationParameters, target []byte, _ [][]byte, judged jobState) (jobState, error) {
			if target == nil {
				return judged, nil
			}
			return jobState{progress(target)}, nil
		},
		tier: func(_ Case, _ propagationParameters, s jobState) (Tier, string) {
			if s.Job == "Running" {
				return Medium, "it is still running"
			}
			return Low, "it has finished"
		},
		predict: func(Case, propagationParameters, jobState) Prediction {
			return Prediction{Expect: Gone, WithinSeconds: 120}
		},
		change: func(_ Case, _ Stamp, p propagationParameters, live liveObject[jobState]) (Change, error) {
			if p.Propagation == "" {
				p.Propagation = "Background"
			}
			return live.deleted(deleteOptions{PropagationPolicy: p.Propagation}, "delete, %s, propagation %s", live.state.Job, p.Propagation), nil
		},
	}.action()
}
