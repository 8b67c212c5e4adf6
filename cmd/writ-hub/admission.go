package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/writ-dev/writ/hub/admission"
)

// admit has the hub answer its API server about policies, where that is configured; it returns what the API server must trust.
func (h *hub) admit(c config, log *slog.Logger) ([]byte, error) {
	if c.Listen.Admission == "" {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(c.Advertise.Admission)
	if err != nil {
		return nil, fmt.Errorf("advertise.admission: %w", err)
	}
	certificate, err := admission.LoadCertificate(c.dir("admission.key"), c.dir("admission.crt"), host, time.Now())
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", c.Listen.Admission)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", c.Listen.Admission, err)
	}
	h.task(func(ctx context.Context) error {
		return admission.Serve(ctx, admission.Listener{Listener: listener, Certificate: certificate}, log, time.Now)
	})
	return certificate.PEM(), nil
}
