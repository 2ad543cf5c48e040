package guard

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
)

// Intake takes submissions.
type Intake interface {
	Submit(ctx context.Context, s gbt.Submission) gbt.Verdict
}

// SubmissionsConfig configures Submissions. Next and Bans are required.
type SubmissionsConfig struct {
	Next Intake
	Bans *Bans
	// Conduct bans for what is sent; nil if nobody is: then it takes an operator.
	Conduct *Conduct
}

// Submissions is an Intake that turns away what the banned send, except what may be a block, and
// has Conduct hear what became of the rest. The context names the client.
//
// No limit applies to submissions: who is answered with an error sends the same one again for ever,
// and one of them may be a block.
type Submissions struct{ cfg SubmissionsConfig }

// NewSubmissions makes Submissions.
func NewSubmissions(cfg SubmissionsConfig) (*Submissions, error) {
	if cfg.Next == nil || cfg.Bans == nil {
		return nil, errors.New("guard: Submissions: Next and Bans are required")
	}
	return &Submissions{cfg}, nil
}

// Submit implements Intake. A block earns a banned miner what it earns anybody.
func (i *Submissions) Submit(ctx context.Context, s gbt.Submission) gbt.Verdict {
	ban, banned := i.cfg.Bans.Banned(ClientOf(ctx), s.Account.Address)
	if banned && !MayBeBlock(s.Data) {
		return gbt.Verdict{Reason: gbt.Banned, Detail: banText(&ban)}
	}
	v := i.cfg.Next.Submit(ctx, s)
	if i.cfg.Conduct != nil {
		i.cfg.Conduct.Hear(ctx, s, v)
	}
	if banned && !v.Block && v.Reason != "" { // and not what has to be sent again, which may still be a block
		v = gbt.Verdict{Reason: gbt.Banned, Detail: banText(&ban), Hash: v.Hash}
	}
	return v
}

// Layout of a block header (Bitcoin Core's primitives/block.h).
const (
	headerSize = 80
	bitsAt     = 72
)

// MayBeBlock reports whether a submission's header meets the target that it claims itself, as every
// block's does. It costs two hashes of 80 bytes. Who claims an easy target passes here, and is
// refused by whoever knows the real one.
func MayBeBlock(data string) bool {
	if len(data) < 2*headerSize {
		return false
	}
	header, err := hex.DecodeString(data[:2*headerSize])
	if err != nil {
		return false
	}
	claimed, err := gbt.TargetFromBits(binary.LittleEndian.Uint32(header[bitsAt:]))
	return err == nil && claimed.MetBy(chainhash.DoubleHashH(header))
}
