package gbt

import "fmt"

// Reason is why a submission was refused, in the words of BIP 22 ("Appendix: Example Rejection
// Reasons") or, where they say more, of Bitcoin Core. It is the result of submitblock and never
// an RPC error. The empty Reason means accepted.
type Reason string

// The rejection reasons of BIP 22.
const (
	BadCbFlag      Reason = "bad-cb-flag"
	BadCbLength    Reason = "bad-cb-length"
	BadCbPrefix    Reason = "bad-cb-prefix"
	BadDiffbits    Reason = "bad-diffbits"
	BadPrevblk     Reason = "bad-prevblk"
	BadTxnmrklroot Reason = "bad-txnmrklroot"
	BadTxns        Reason = "bad-txns"
	BadVersion     Reason = "bad-version"
	Duplicate      Reason = "duplicate"
	HighHash       Reason = "high-hash"
	Rejected       Reason = "rejected"
	StalePrevblk   Reason = "stale-prevblk"
	StaleWork      Reason = "stale-work"
	TimeInvalid    Reason = "time-invalid"
	TimeTooNew     Reason = "time-too-new"
	TimeTooOld     Reason = "time-too-old"
	UnknownUser    Reason = "unknown-user"
	UnknownWork    Reason = "unknown-work"
)

// Banned refuses what a miner sends who is shut out for a time. BIP 22 has no word for it, and leaves room for others
// than its own ("Appendix: Example Rejection Reasons").
const Banned Reason = "banned"

// inconclusive begins what Bitcoin Core says of a block or a proposal that it did not check in
// full, because its best block is another.
const inconclusive Reason = "inconclusive"

// RejectError refuses a submission: Reason goes to the miner, Detail to the log and to whoever
// asks why. It is how the steps of judging report.
type RejectError struct {
	Reason Reason
	Detail string
}

// Error implements error.
func (e *RejectError) Error() string {
	if e.Detail == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Detail
}

// reject makes a RejectError with a formatted detail.
func reject(reason Reason, format string, args ...any) error {
	return &RejectError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
