package catalogue

import (
	"encoding/json"
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
)

// restoreConfigMap puts back what an earlier order of Writ found in a ConfigMap before it changed it. What that was comes from the
// hub's record of that order, which was judged on it, and from nothing else: not from whoever asks, nor from the cluster, where an
// annotation or another object could be written by anybody.
func restoreConfigMap() *Action {
	e := changingConfig("restore-configmap", "Put back the data that a ConfigMap had before an earlier order of Writ changed it",
		Words{"medium; high where more than 3 workloads use it", "the data as it was, and at the end of the time all workloads that use it available", "patch-configmap to the former data"})
	e.schema = object(map[string]*jsonschema.Schema{
		"revision": text("the order whose change is taken back, such as the annotation writ.dev/order of the ConfigMap names", `^order-[-.a-zA-Z0-9]+$`, 128),
		"values":   configValues("the data by key: written by the hub out of its record of that order, and not to be given"),
	}, "revision")
	e.see = func(c Case, p configParameters, target []byte, looked [][]byte, judged configState) (configState, error) {
		if len(p.Values) == 0 {
			return configState{}, fmt.Errorf("%w: nothing says what was there before %s: upgrade the hub", ErrUnfit, p.Revision)
		}
		return seeConfigMap(c, p, target, looked, judged)
	}
	a := e.action()
	a.Recalls = func(c Case) (string, error) {
		p := parameters[configParameters](c)
		if p.Values != nil {
			return "", fmt.Errorf("values are written out of what Writ has recorded: leave them out")
		}
		return p.Revision, nil
	}
	a.Recall = func(c Case, by string, earlier Case) (json.RawMessage, error) {
		p, was := parameters[configParameters](c), stateOf[configState](earlier.Facts)
		if (by != "patch-configmap" && by != "restore-configmap") || len(was.Values) == 0 {
			return nil, fmt.Errorf("%s recorded no data of a ConfigMap", p.Revision)
		}
		return encode(configParameters{p.Revision, was.Values}), nil
	}
	return a
}
