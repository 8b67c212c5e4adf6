package catalogue_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
)

func TestDrift(t *testing.T) {
	ready := catalogue.Prediction{Expect: catalogue.ReadyReplicas, Replicas: 5, AfterGeneration: 7}
	available := catalogue.Prediction{Expect: catalogue.Available, AfterGeneration: 7}
	for name, tc := range map[string]struct {
		prediction catalogue.Prediction
		seen       catalogue.Facts
		want       []catalogue.Drift
	}{
		"as predicted":        {ready, catalogue.Facts{Generation: 8, ObservedGeneration: 8, Replicas: 5, ReadyReplicas: 5}, nil},
		"not all are ready":   {ready, catalogue.Facts{Generation: 8, ObservedGeneration: 8, Replicas: 5, ReadyReplicas: 3}, []catalogue.Drift{{"readyReplicas", "5", "3"}}},
		"somebody set it":     {ready, catalogue.Facts{Generation: 9, ObservedGeneration: 9, Replicas: 4, ReadyReplicas: 4}, []catalogue.Drift{{"replicas", "5", "4"}, {"readyReplicas", "5", "4"}}},
		"nothing was changed": {ready, catalogue.Facts{Generation: 7, ObservedGeneration: 7, Replicas: 5, ReadyReplicas: 5}, []catalogue.Drift{{"generation", "more than 7", "7"}}},
		"nobody looked yet":   {ready, catalogue.Facts{Generation: 8, ObservedGeneration: 7, Replicas: 5, ReadyReplicas: 5}, []catalogue.Drift{{"observedGeneration", "8", "7"}}},
		"available":           {available, catalogue.Facts{Generation: 8, ObservedGeneration: 8, Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3, CurrentReplicas: 3}, nil},
		"a state": {catalogue.Prediction{Expect: catalogue.State, Want: []byte(`{"a":1,"b":"x","c":true}`)}, catalogue.Facts{State: []byte(`{"a":1,"b":"y"}`)},
			[]catalogue.Drift{{"b", `"x"`, `"y"`}, {"c", "true", "none"}}},
		"still there": {catalogue.Prediction{Expect: catalogue.Gone}, catalogue.Facts{}, []catalogue.Drift{{"target", "gone", "there"}}},
		"vanished":    {catalogue.Prediction{Expect: catalogue.State, Want: []byte(`{}`)}, catalogue.Facts{Gone: true}, catalogue.Vanished()},
		"half way": {available, catalogue.Facts{Generation: 8, ObservedGeneration: 8, Replicas: 3, UpdatedReplicas: 1, AvailableReplicas: 2, CurrentReplicas: 4},
			[]catalogue.Drift{{"updatedReplicas", "3", "1"}, {"availableReplicas", "3", "2"}, {"currentReplicas", "3", "4"}}},
	} {
		t.Run(name, func(t *testing.T) {
			held, _ := tc.prediction.Holds(tc.seen)
			require.Equal(t, tc.want == nil, held)
			require.Equal(t, tc.want, tc.prediction.Drift(tc.seen))
		})
	}
}
