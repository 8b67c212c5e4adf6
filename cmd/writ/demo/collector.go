package demo

import (
	"context"
	"encoding/hex"
	"net"
	"sync"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// collector is a small OTLP receiver: hub and spokes export to it as they would to any other.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	address string
	server  *grpc.Server
	mu      sync.Mutex
	spans   map[string][]span // by trace ID
}

// span is one exported span, with the process that it is of.
type span struct {
	service string
	*tracev1.Span
}

// startCollector listens on loopback.
func startCollector() (*collector, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &collector{address: "http://" + listener.Addr().String(), server: grpc.NewServer(), spans: map[string][]span{}}
	collectorv1.RegisterTraceServiceServer(c.server, c)
	go func() { _ = c.server.Serve(listener) }()
	return c, nil
}

// Export implements the OTLP trace service.
func (c *collector) Export(_ context.Context, request *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		service := serviceOf(resource.GetResource().GetAttributes())
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				id := hex.EncodeToString(s.TraceId)
				c.spans[id] = append(c.spans[id], span{service: service, Span: s})
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// trace returns the spans of a trace that have come so far.
func (c *collector) trace(id string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]span(nil), c.spans[id]...)
}

// serviceOf names the process: its service, and its cluster where it has one.
func serviceOf(attributes []*commonv1.KeyValue) string {
	service, cluster := "", ""
	for _, a := range attributes {
		switch a.Key {
		case "service.name":
			service = a.Value.GetStringValue()
		case "writ.cluster":
			cluster = a.Value.GetStringValue()
		}
	}
	if cluster != "" {
		return service + " " + cluster
	}
	return service
}
