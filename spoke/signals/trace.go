package signals

import (
	"context"
	"crypto/rand"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/writ-dev/writ/api/signal"
)

// beginTrace begins the trace of all that follows from a problem, with the span writ.signal, and returns its traceparent.
// Where no telemetry is configured the IDs are made all the same: the hub and the bundle carry them on.
func (w *Watcher) beginTrace(ctx context.Context, p Problem) string {
	ctx, span := w.tracer.Start(ctx, "writ.signal", trace.WithNewRoot(), trace.WithTimestamp(w.now()), trace.WithAttributes(
		attribute.String("writ.signal.reason", string(signal.DeploymentNotProgressing)),
		attribute.String("writ.signal.cause", string(p.Cause)),
		attribute.String("k8s.namespace.name", p.Deployment.Namespace),
		attribute.String("k8s.deployment.name", p.Deployment.Name)))
	span.End(trace.WithTimestamp(w.now()))
	if !span.SpanContext().IsValid() {
		ctx = trace.ContextWithSpanContext(ctx, madeUp())
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

func madeUp() trace.SpanContext {
	var traceID trace.TraceID
	var spanID trace.SpanID
	_, _ = rand.Read(traceID[:]) // never fails: crypto/rand.Read
	_, _ = rand.Read(spanID[:])
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID, TraceFlags: trace.FlagsSampled})
}
