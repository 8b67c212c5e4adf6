package signal

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	writv1 "github.com/writ-dev/writ/api/writv1"
)

// Report is the signal as a spoke sends it: without the cluster, which the hub knows from the connection.
func (s Signal) Report() *writv1.SignalReport {
	return &writv1.SignalReport{
		Id: s.ID, Fingerprint: s.Fingerprint, Reason: string(s.Reason), Severity: string(s.Severity),
		ApiVersion: s.Object.APIVersion, Kind: s.Object.Kind, Namespace: s.Object.Namespace, Name: s.Object.Name, Uid: s.Object.UID,
		FirstSeen: timestamppb.New(s.FirstSeen), LastSeen: timestamppb.New(s.LastSeen), Count: s.Count,
		Values: s.Values, Traceparent: s.Traceparent,
	}
}

// FromReport is the signal that a spoke of the cluster sent. It is not yet validated.
func FromReport(cluster string, r *writv1.SignalReport) Signal {
	return Signal{
		ID: r.GetId(), Cluster: cluster, Fingerprint: r.GetFingerprint(),
		Reason: Reason(r.GetReason()), Severity: Severity(r.GetSeverity()),
		Object:    Object{APIVersion: r.GetApiVersion(), Kind: r.GetKind(), Namespace: r.GetNamespace(), Name: r.GetName(), UID: r.GetUid()},
		FirstSeen: timeOf(r.GetFirstSeen()), LastSeen: timeOf(r.GetLastSeen()), Count: r.GetCount(),
		Values: r.GetValues(), Traceparent: r.GetTraceparent(),
	}
}

// timeOf is zero, which Validate refuses, for a time that is absent or out of range.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if !t.IsValid() {
		return time.Time{}
	}
	return t.AsTime()
}
