// Package telemetry makes the one tracer of a process. Spans are exported by OTLP over gRPC where the standard variables
// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT say so; without them, traces have IDs all the same, so
// that a request can be followed through logs and the audit log.
package telemetry

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// batchAfter is how long spans wait for company before they are exported.
const batchAfter = 500 * time.Millisecond

// Tracing is a process's tracer, and how to send what is left at its end.
type Tracing struct {
	trace.Tracer
	Shutdown func(context.Context) error
}

// Start makes the tracer of a service, such as "writ-hub"; attributes tell its instances apart.
func Start(ctx context.Context, service string, attributes ...attribute.KeyValue) (*Tracing, error) {
	attributes = append(attributes, attribute.String("service.name", service))
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(resource.NewSchemaless(attributes...)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())),
	}
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" {
		exporter, err := otlptracegrpc.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("trace exporter: %w", err)
		}
		options = append(options, sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(batchAfter)))
	}
	provider := sdktrace.NewTracerProvider(options...)
	return &Tracing{Tracer: provider.Tracer("github.com/writ-dev/writ"), Shutdown: provider.Shutdown}, nil
}
