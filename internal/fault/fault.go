// Package fault marks the points at which a test may have a process killed, as a power cut would.
//
// It promises to be nothing at all in a program that is built without the tag "faults": Point is empty there, and no variable
// of the environment is read. A release is never built with the tag.
package fault

// Variable is the variable of the environment that names, for a program built with the tag, the file to arm it with: a point's
// name, such as "hub.sign.after", or "hub.change.after#2" for the second time it is passed.
const Variable = "WRIT_KILL_AT"
