package catalogue

import "time"

// Verb is what is asked of the API server.
type Verb string

// The verbs.
const (
	Patch  Verb = "patch"
	Create Verb = "create"
	Delete Verb = "delete"
	Update Verb = "update"
	// Nothing is what an action asks for that only reads.
	Nothing Verb = "nothing"
)

// Effect says how it can be told, after a crash, that an operation was made.
type Effect string

// The effects.
const (
	// Patches leaves the order's field manager in the target's managedFields, or the order's ID in its annotation
	// OrderAnnotation.
	Patches Effect = ""
	// Creates leaves an object named after the order, with the order's ID in the annotation OrderAnnotation.
	Creates Effect = "creates"
	// Deletes leaves the target terminating or gone. Whether somebody else did the same cannot be told.
	Deletes Effect = "deletes"
	// Removes leaves the target gone; that it is terminating says nothing, because it was before.
	Removes Effect = "removes"
	// Collects leaves nothing in the cluster: the action reads, and may be done again.
	Collects Effect = "collects"
)

// OrderAnnotation carries the ID of the order that created an object or changed it last.
const OrderAnnotation = "writ.dev/order"

// MadeFor reports whether an object was created for an order.
func MadeFor(object []byte, orderID string) (bool, error) {
	live, err := decode[struct {
		Metadata objectMeta `json:"metadata"`
	}](object)
	return err == nil && orderID != "" && live.Metadata.Annotations[OrderAnnotation] == orderID, err
}

// Read is one GET: of one object by name or, where Name is empty, of a whole list in the target's namespace.
type Read struct {
	Kind        Kind
	Name        string
	Subresource string
	Labels      string            // selector of a list
	Fields      string            // selector of a list
	Query       map[string]string // of a subresource
}

// Change is one operation on one object, and what follows it.
type Change struct {
	Verb        Verb // patch where empty
	Kind        Kind
	Name        string // of the object; for a create, of what is created or what the subresource belongs to
	Subresource string
	PatchType   string // a k8s.io/apimachinery types.PatchType
	// InPlaceOf is the order in whose name fields are applied, where it is not the change's own: what that one applied, and this
	// does not, is removed.
	InPlaceOf string
	// Namespace of the object, where the target has none.
	Namespace string
	// Body is the patch, the object to create, or the options of a delete.
	Body []byte
	// Says is the change in words, for people: "replicas 3 → 5".
	Says string
	// Then are the operations that follow once this one is made, in any order. Each is tried until the API server lets it, until it
	// cannot be any more, or until Within is over, counted from this one. They have none of their own.
	Then   []Change
	Within time.Duration
}
