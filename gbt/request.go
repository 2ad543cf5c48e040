package gbt

// TemplateRequest is what a miner asks of getblocktemplate in template mode. The zero value is a
// valid request: a client that names nothing.
type TemplateRequest struct {
	// Capabilities is what the client says it can do: features and mutations by their names in
	// BIP 22 (Block Template Request) and BIP 23 (Mutations, Submission Abbreviation).
	Capabilities []string
	// Rules names the softfork deployments that the client supports, without prefixes (BIP 9,
	// getblocktemplate changes).
	Rules []string
	// MaxVersion is the highest block version the client supports (BIP 22, Template Tweaking); 0
	// if it did not say.
	MaxVersion int64
	// Worker is the miner's name for the machine that asks, which is not part of the account; empty
	// if it has none.
	Worker string
	// Target is the share target that the client desires (BIP 23, Basic Pool Extensions); zero if
	// it did not say. It is honoured within the operator's bounds.
	Target Target
	// Difficulty is the share difficulty asked for in the password (d=N); 0 if none. Target goes
	// before it.
	Difficulty float64
	// Nonces is the size of the nonce range that the miner needs (BIP 23, Mutations); 0 if it did
	// not say. Every answer has the whole range.
	Nonces int64
	// SizeLimit is the most bytes that the whole block should take and SigopLimit the most BIP 141
	// sigop cost (BIP 22, Template Tweaking). Zero and negative numbers are offsets from the
	// block's own limits. Nil stands for those: the client named none, or a Boolean.
	SizeLimit, SigopLimit *int64
	// LongPollID is the event that a long poll waited for; empty on a plain request. The answer
	// to a long poll says whether work issued before that event may still be submitted.
	LongPollID string
	// UserAgent is the client program's name for itself.
	UserAgent string
}

// pinned reports whether the client has chosen its share target itself.
func (r *TemplateRequest) pinned() bool { return r.Target != (Target{}) || r.Difficulty != 0 }
