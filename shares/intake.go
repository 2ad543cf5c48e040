package shares

import (
	"context"
	"errors"
	"fmt"

	"github.com/gbtpool/gbtpool/gbt"
)

// Judge rules on submissions; gbt.Judge is one. It offers blocks to the nodes before it returns.
type Judge interface {
	Judge(ctx context.Context, s gbt.Submission) gbt.Verdict
}

// Recorder keeps accepted shares.
type Recorder interface {
	// Record stores a share and is done only when it is stored. It fails with an error that
	// matches ErrDuplicate if the share is there already, and ErrTooOld if that cannot be told any
	// more; after any other error the share may be stored or not, and recording it again is safe.
	Record(ctx context.Context, share gbt.Share) error
	// Refused counts a submission that earned nothing.
	Refused(s gbt.Submission, reason gbt.Reason)
}

// IntakeConfig configures an Intake. Both fields are required.
type IntakeConfig struct {
	Judge    Judge
	Recorder Recorder
}

// Intake takes submissions in: a block goes to the nodes first, then the share is recorded, then
// the miner gets the answer.
type Intake struct{ cfg IntakeConfig }

// NewIntake makes an Intake.
func NewIntake(cfg IntakeConfig) (*Intake, error) {
	if cfg.Judge == nil || cfg.Recorder == nil {
		return nil, errors.New("intake: Judge and Recorder are required")
	}
	return &Intake{cfg: cfg}, nil
}

// Submit rules on a submission and records it if it is accepted. A share that was recorded before
// is refused as a duplicate.
func (i *Intake) Submit(ctx context.Context, s gbt.Submission) gbt.Verdict {
	v := i.cfg.Judge.Judge(ctx, s)
	if v.Accepted() {
		// A miner that hangs up after it has proven its work is credited all the same.
		// One that a node does not call the best block yet is recorded as a block: it may become that.
		switch err := i.cfg.Recorder.Record(context.WithoutCancel(ctx), v.Share); {
		case errors.Is(err, ErrDuplicate):
			v.Reason, v.Detail, v.Share = gbt.Duplicate, "this work was submitted before", gbt.Share{}
		case errors.Is(err, ErrTooOld):
			v.Reason, v.Detail, v.Share = gbt.StaleWork, err.Error(), gbt.Share{}
		case err != nil:
			v.Share, v.Err = gbt.Share{}, fmt.Errorf("%w: the share could not be recorded: %w", gbt.ErrUnavailable, err)
		}
	}
	if v.Reason != "" {
		i.cfg.Recorder.Refused(s, v.Reason)
	}
	return v
}
