package shares

// The kinds of events that clients are told of. EventShare is for its account alone.
const (
	// EventBlock: a block of the pool was found, or its state in the journal has changed.
	EventBlock = "block"
	// EventTemplate: miners get another template.
	EventTemplate = "template"
	// EventPayout: the state of a settlement has changed.
	EventPayout = "payout"
	// EventShare: submissions of the account were ruled on.
	EventShare = "share"
	// EventStats: how the pool does, every few seconds.
	EventStats = "stats"
)
