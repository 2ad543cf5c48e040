package shares

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Credit is what an account did of a window or round.
type Credit struct {
	Account string
	Weight  Weight
}

// Window is the last Size of weight before a moment: exactly min(all, Size), because the oldest
// share is counted in part if it does not fit whole.
type Window struct {
	// Block is the found block that it ends with; zero if it ends now.
	Block chainhash.Hash
	// Size is what was asked for and Total what there is: Size, or all if that is less.
	Size, Total Weight
	Unit        Unit
	// Credits are the parts of all accounts that have any, by account. They sum up to Total.
	Credits []Credit
	// Shares counts the shares in the window, the one in part among them.
	Shares int64
	// Oldest and Newest are where the window begins and ends; zero if it is empty.
	Oldest, Newest Position
	// Part is what of the oldest share's weight is counted.
	Part Weight
}

// Counter sums a window up, share by share, newest first. The zero Counter is for a window of no
// size; make one with NewCounter.
type Counter struct {
	window  Window
	credits map[string]Weight
}

// NewCounter returns a Counter for a window of a size; a negative one counts as none.
func NewCounter(size Weight) *Counter {
	return &Counter{window: Window{Size: max(size, 0)}, credits: make(map[string]Weight)}
}

// Full reports whether older shares do not count any more.
func (c *Counter) Full() bool { return c.window.Total == c.window.Size }

// Add counts the next older share, and does nothing once the window is full. Shares of no weight
// are counted as shares only.
func (c *Counter) Add(at Position, account string, weight Weight) {
	if c.Full() {
		return
	}
	part := min(weight, c.window.Size-c.window.Total) // does not wrap: neither does Size
	if c.window.Shares == 0 {
		c.window.Newest = at
	}
	c.window.Shares++
	c.window.Oldest, c.window.Part = at, part
	c.window.Total += part
	if part > 0 {
		c.credits[account] += part
	}
}

// Window returns what was counted.
func (c *Counter) Window() Window {
	w := c.window
	w.Credits = sorted(c.credits)
	return w
}

// sorted returns credits by account.
func sorted(sums map[string]Weight) []Credit {
	out := make([]Credit, 0, len(sums))
	for account, weight := range sums {
		out = append(out, Credit{account, weight})
	}
	slices.SortFunc(out, func(a, b Credit) int { return strings.Compare(a.Account, b.Account) })
	return out
}

// CountWindow counts a window of a size over entries that come newest first, and reads no more of
// them than it needs.
func CountWindow(size Weight, entries iter.Seq2[Entry, error]) (Window, error) {
	c := NewCounter(size)
	if c.Full() {
		return c.Window(), nil
	}
	for e, err := range entries {
		if err != nil {
			return Window{}, fmt.Errorf("window: %w", err)
		}
		c.Add(e.Position, e.Account, e.Weight)
		if c.Full() {
			break
		}
	}
	return c.Window(), nil
}

// Round is the shares between two found blocks.
type Round struct {
	// Block is the found block that ended it; zero for the one that goes on.
	Block chainhash.Hash
	Total Weight
	Unit  Unit
	// Shares counts its shares.
	Shares int64
	// Credits are the parts of all accounts that have any, by account. They sum up to Total.
	Credits []Credit
}

// NewRound makes a round of sums by account. It fails with ErrWeight if they do not fit together.
func NewRound(block chainhash.Hash, unit Unit, shares int64, sums map[string]Weight) (Round, error) {
	r := Round{Block: block, Unit: unit, Shares: shares}
	for account, weight := range sums {
		if weight < 0 || r.Total+weight < r.Total {
			return Round{}, fmt.Errorf("round: %s: %w", account, ErrWeight)
		}
		r.Total += weight
	}
	r.Credits = sorted(sums)
	return r, nil
}

// Heaviest returns credits by weight, heaviest first; those that weigh the same by account.
func Heaviest(credits []Credit) []Credit {
	out := slices.Clone(credits)
	slices.SortFunc(out, func(a, b Credit) int {
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), strings.Compare(a.Account, b.Account))
	})
	return out
}
