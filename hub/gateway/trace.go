package gateway

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// begin opens the request's span, under the trace of the signal where there is one, and returns its traceparent.
func (g *Gateway) begin(request Request) string {
	ctx, span := g.Tracer.Start(parent(request.Traceparent), "writ.action.request", trace.WithTimestamp(g.now()),
		trace.WithAttributes(attribute.String("writ.request", request.Namespace+"/"+request.Name),
			attribute.String("writ.cluster", request.Cluster), attribute.String("writ.action", request.Action)))
	span.End()
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// trace writes one step down as a span, from the moment it could be taken to the moment it was.
func (g *Gateway) trace(r *Record, out outcome) {
	_, span := g.Tracer.Start(parent(r.Trace), "writ.action."+out.step, trace.WithTimestamp(out.entered),
		trace.WithAttributes(attribute.String("writ.result", string(out.result)), attribute.String("writ.detail", out.detail)))
	if out.result == Refused {
		span.SetStatus(codes.Error, string(out.refusal.Reason))
	}
	span.End(trace.WithTimestamp(out.left))
}

// parent is the context of a span that another process began. A malformed traceparent begins a new trace.
func parent(traceparent string) context.Context {
	return propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
}

// TraceID is the ID in the record's traceparent; empty where there is none.
func (r *Record) TraceID() string {
	span := trace.SpanContextFromContext(parent(r.Trace))
	if !span.HasTraceID() {
		return ""
	}
	return span.TraceID().String()
}
