package devnet

import (
	"errors"
	"fmt"
	"testing"

	"github.com/btcsuite/btcd/blockchain"

	"github.com/gbtpool/gbtpool/gbt"
)

// TestReason wants a word for each of btcd's rulings, found behind what wraps it too, and no word
// for what is no ruling.
func TestReason(t *testing.T) {
	for code, want := range words() {
		if want == "" || want == gbt.Rejected {
			t.Errorf("%s is %q", code, want)
		}
		ruling := fmt.Errorf("wrapped: %w", blockchain.RuleError{ErrorCode: code})
		if got, err := reason(ruling); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", code, got, err, want)
		}
	}
	for name, tc := range map[string]struct {
		err   error
		want  gbt.Reason
		fails bool
	}{
		"accepted":  {nil, "", false},
		"high hash": {blockchain.RuleError{ErrorCode: blockchain.ErrHighHash}, gbt.HighHash, false},
		"wordless":  {blockchain.RuleError{ErrorCode: blockchain.ErrBadCheckpoint}, gbt.Rejected, false},
		"no ruling": {errors.New("disk full"), "", true},
	} {
		if got, err := reason(tc.err); got != tc.want || (err != nil) != tc.fails {
			t.Errorf("%s: %q, %v; want %q", name, got, err, tc.want)
		}
	}
}
