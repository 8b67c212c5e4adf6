package auditlog

// What the tests run on folders in memory.
var (
	VerifyFolder = verify
	StoryIn      = story
)
