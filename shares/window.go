package shares

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/maphash"
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
	window Window
	// credits are in the order of their accounts' appearance. number tells it by the hash of the account;
	// who comes second with a hash has the next free number. A map by account takes twice as long, because
	// it looks up names all over the memory as it grows.
	credits []Credit
	number  map[uint64]uint32
	seed    maphash.Seed
}

// NewCounter returns a Counter for a window of a size; a negative one counts as none.
func NewCounter(size Weight) *Counter {
	return &Counter{window: Window{Size: max(size, 0)}, number: make(map[uint64]uint32), seed: maphash.MakeSeed()}
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
		c.credit(account, part)
	}
}

// credit adds to an account's credit.
func (c *Counter) credit(account string, weight Weight) {
	for hash := maphash.String(c.seed, account); ; hash++ {
		i, ok := c.number[hash]
		if !ok {
			c.number[hash] = uint32(len(c.credits))
			// A copy, because it may be part of a long text that has to go.
			c.credits = append(c.credits, Credit{strings.Clone(account), weight})
			return
		}
		if c.credits[i].Account == account {
			c.credits[i].Weight += weight
			return
		}
	}
}

// Window returns what was counted.
func (c *Counter) Window() Window {
	w := c.window
	w.Credits = byAccount(c.credits)
	return w
}

// byAccount returns credits by account.
func byAccount(credits []Credit) []Credit {
	type place struct {
		key   uint64
		index int
	}
	// Most addresses differ in the eight bytes after what all have in common. Those are compared without
	// a look at the names, which lie all over the memory.
	skip := common(credits)
	order := make([]place, len(credits))
	for i := range credits {
		var key [8]byte
		copy(key[:], credits[i].Account[skip:])
		order[i] = place{binary.BigEndian.Uint64(key[:]), i}
	}
	slices.SortFunc(order, func(a, b place) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return strings.Compare(credits[a.index].Account, credits[b.index].Account)
	})
	out := make([]Credit, len(credits))
	for i, p := range order {
		out[i] = credits[p.index]
	}
	return out
}

// common returns how many bytes all accounts begin with alike.
func common(credits []Credit) int {
	if len(credits) == 0 {
		return 0
	}
	prefix := credits[0].Account
	for i := range credits {
		for !strings.HasPrefix(credits[i].Account, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return len(prefix)
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
		r.Credits = append(r.Credits, Credit{account, weight})
	}
	r.Credits = byAccount(r.Credits)
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
