package shares

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/gbtpool/gbtpool/gbt"
)

// TestWeightOfShare is the weight of its work, be that a number of any size, or ErrWeight.
func TestWeightOfShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := gbt.Share{Full: rapid.Int64Range(1, 1<<40).Draw(t, "full")}
		s.Paid = rapid.Int64Range(0, s.Full).Draw(t, "paid")
		for i := rapid.IntRange(0, len(s.Target)-1).Draw(t, "zeros"); i < len(s.Target); i++ {
			s.Target[i] = rapid.Byte().Draw(t, "byte")
		}
		u := Unit(rapid.IntRange(0, 64).Draw(t, "unit"))
		want, wantErr := u.Weight(s.Work())
		if got, err := u.of(&s); got != want || (err != nil) != (wantErr != nil) {
			t.Fatalf("%s in units of 2^%d: %d, %v, want %d, %v", s.Target, u, got, err, want, wantErr)
		}
	})
}
