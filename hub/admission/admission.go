// Package admission answers the hub's API server when somebody writes an ActionPolicy or an ActionTemplate: one that does not
// compile is refused where it is written, with the position, and what looks unmeant comes back as a warning.
//
// It judges what it is given and nothing else: it reads no object, writes none, and knows no secret. Where it is not asked, a
// policy that does not compile denies all the same, and nobody can ask for a template that does not.
package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/template"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// Path is where the API server asks.
const Path = "/policies"

const (
	maxReview   = 8 << 20 // bytes of one question: an object and what it was before
	atOnce      = 4       // questions answered at once: to compile is work
	maxWarnings = 16
)

// Handler answers the API server's questions about policies and templates.
func Handler(log *slog.Logger, now func() time.Time) http.Handler {
	places := make(chan struct{}, atOnce)
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Path, func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		case <-r.Context().Done():
			return
		}
		review, err := read(w, r)
		if err != nil {
			http.Error(w, refusal.OneLine(err.Error()), http.StatusBadRequest)
			return
		}
		review.Response = judge(review.Request, now())
		if !review.Response.Allowed {
			log.InfoContext(r.Context(), "refused where it was written", "kind", review.Request.Kind.Kind, "name", review.Request.Name,
				"user", review.Request.UserInfo.Username, "why", review.Response.Result.Message)
		}
		review.Request = nil
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(review); err != nil {
			log.WarnContext(r.Context(), "answering the API server", "error", err)
		}
	})
	return mux
}

func read(w http.ResponseWriter, r *http.Request) (*admissionv1.AdmissionReview, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	if err != nil {
		return nil, err
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(raw, &review); err != nil {
		return nil, err
	}
	if review.Request == nil || review.Request.UID == "" {
		return nil, errors.New("no question in it")
	}
	return &review, nil
}

// judge compiles what is written. What is not changed passes as it is: what stands already may be labelled, and taken away.
func judge(asked *admissionv1.AdmissionRequest, now time.Time) *admissionv1.AdmissionResponse {
	answer := &admissionv1.AdmissionResponse{UID: asked.UID, Allowed: true}
	if asked.Kind.Group == v1alpha1.GroupVersion.Group {
		switch asked.Kind.Kind {
		case "ActionPolicy":
			return judgePolicy(answer, asked, now)
		case "ActionTemplate":
			return judgeTemplate(answer, asked)
		}
	}
	return deny(answer, fmt.Errorf("%s of %s is neither a policy nor a template", asked.Kind.Kind, asked.Kind.Group))
}

func judgeTemplate(answer *admissionv1.AdmissionResponse, asked *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	var t, before v1alpha1.ActionTemplate
	if err := json.Unmarshal(asked.Object.Raw, &t); err != nil {
		return deny(answer, err)
	}
	if len(asked.OldObject.Raw) > 0 && json.Unmarshal(asked.OldObject.Raw, &before) == nil && equality.Semantic.DeepEqual(t.Spec, before.Spec) {
		return answer
	}
	if t.Name == "" { // of metadata.generateName
		return deny(answer, errors.New("metadata.name: a template's name is the action's: give it one"))
	}
	d, err := t.Definition()
	if err == nil {
		_, err = template.Compile(d)
	}
	if err != nil {
		return deny(answer, fmt.Errorf("it does not compile: %w", err))
	}
	return answer
}

func judgePolicy(answer *admissionv1.AdmissionResponse, asked *admissionv1.AdmissionRequest, now time.Time) *admissionv1.AdmissionResponse {
	var p, before v1alpha1.ActionPolicy
	if err := json.Unmarshal(asked.Object.Raw, &p); err != nil {
		return deny(answer, err)
	}
	if len(asked.OldObject.Raw) > 0 && json.Unmarshal(asked.OldObject.Raw, &before) == nil && equality.Semantic.DeepEqual(p.Spec, before.Spec) {
		return answer
	}
	set, err := policy.Compile([]v1alpha1.ActionPolicy{p})
	if err != nil {
		return deny(answer, err)
	}
	if problem := set.Problems()[p.Name]; problem != nil {
		return deny(answer, fmt.Errorf("it does not compile: spec.%w", problem))
	}
	for _, found := range set.Lint(now) {
		if found.Field != "effect" && len(answer.Warnings) < maxWarnings { // what it restricts is in other policies
			answer.Warnings = append(answer.Warnings, refusal.OneLine("spec."+found.Field+": "+found.Says))
		}
	}
	return answer
}

func deny(answer *admissionv1.AdmissionResponse, why error) *admissionv1.AdmissionResponse {
	answer.Allowed = false
	answer.Result = &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity,
		Message: refusal.OneLine(why.Error())}
	return answer
}

// Serve answers on a listener until the context ends.
func Serve(ctx context.Context, on Listener, log *slog.Logger, now func() time.Time) error {
	server := &http.Server{Handler: Handler(log, now), TLSConfig: on.Certificate.tls(), ReadTimeout: 10 * time.Second,
		WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ServeTLS(on, "", ""); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
