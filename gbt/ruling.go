package gbt

// Ruling is the answer to a proposal (BIP 23, Block Proposal).
type Ruling struct {
	// Reason is empty if the block is acceptable, as it is or with the Coinbase below.
	Reason Reason
	// Detail says more than Reason, for the log and for the miner.
	Detail string
	// WorkID names the declared work that the block has become. It is empty if the block is
	// refused, and if it is the issued work as it was given out.
	WorkID string
	// Coinbase is the coinbase to mine the declared work with, serialised without witness, where
	// the proposed one pays other outputs than it has to; nil if that one stands.
	Coinbase []byte
	// Err is set if nothing can be ruled now and asking again later will help; it matches
	// ErrUnavailable. Reason is empty then.
	Err error
}

// Accepted reports whether the proposed block, or what Coinbase makes of it, may be mined.
func (r Ruling) Accepted() bool { return r.Reason == "" && r.Err == nil }
