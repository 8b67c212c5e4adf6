package executor

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/writ-dev/writ/api/refusal"
)

// trace writes one step down as a span of the order's trace, which rides in the bundle, and counts it.
func (e *Executor) trace(a *attempt, step string, entered time.Time, no *refusal.Refusal) {
	now := e.Now()
	e.Meter.Step(step, no != nil, now.Sub(entered))
	if a.decoded == nil {
		return
	}
	parent := propagation.TraceContext{}.Extract(context.Background(),
		propagation.MapCarrier{"traceparent": a.decoded.Bundle.Traceparent})
	_, span := e.Tracer.Start(parent, "writ.action."+step, trace.WithTimestamp(entered))
	if no != nil {
		span.SetStatus(codes.Error, string(no.Reason))
	}
	span.End(trace.WithTimestamp(now))
}
