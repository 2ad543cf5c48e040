package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// page is how many shares are read from a log at a time.
const page = 2000

// counted is what a window needs of a share.
type counted struct {
	at      shares.Position
	account string
	weight  shares.Weight
}

// cursor walks the detail of one partition from a place backwards, first through the log, then
// through the slices. What is compacted while it walks it finds in the slices, because it goes by
// place.
type cursor struct {
	client    *Client
	partition int
	keys      part
	// below is the place that all that is to come lies before.
	below shares.Position
	// buffer holds what was read, newest first.
	buffer []counted
	// index is the list of slices once the log is walked through.
	index   []string
	indexed bool
}

// next returns the next older share; false when there is none.
func (c *cursor) next(ctx context.Context) (counted, bool, error) {
	for len(c.buffer) == 0 {
		more, err := c.fill(ctx)
		if err != nil || !more {
			return counted{}, false, err
		}
	}
	out := c.buffer[0]
	c.buffer = c.buffer[1:]
	c.below = out.at
	return out, true, nil
}

// fill reads more; false if there is no more.
func (c *cursor) fill(ctx context.Context) (bool, error) {
	if !c.indexed {
		messages, err := c.client.redis.XRevRangeN(ctx, c.keys.log(), "("+c.below.String(), "-", page).Result()
		if err != nil {
			return false, fmt.Errorf("log: %w", translate(err))
		}
		for _, m := range messages {
			e, err := entryOf(m, c.partition)
			if err != nil {
				return false, err
			}
			c.buffer = append(c.buffer, counted{e.Position, e.Account, e.Weight})
		}
		if len(messages) > 0 {
			return true, nil
		}
		// Only now: what was trimmed from the log before is in the index.
		if c.index, err = c.client.redis.LRange(ctx, c.keys.slices(), 0, -1).Result(); err != nil {
			return false, fmt.Errorf("slices: %w", translate(err))
		}
		c.indexed = true
	}
	return c.slice(ctx)
}

// slice reads the newest slice that has anything below the cursor.
func (c *cursor) slice(ctx context.Context) (bool, error) {
	for len(c.index) > 0 {
		name := c.index[len(c.index)-1]
		c.index = c.index[:len(c.index)-1]
		first, _, err := parseSliceName(name, c.partition)
		if err != nil {
			return false, err
		}
		if first.Compare(c.below) >= 0 {
			continue
		}
		s, err := c.client.slice(ctx, c.keys, name, c.partition)
		if err != nil {
			return false, err
		}
		for i := len(s.places) - 1; i >= 0; i-- {
			if s.places[i].Compare(c.below) < 0 {
				c.buffer = append(c.buffer, counted{s.places[i], s.accounts[s.account[i]], s.weights[i]})
			}
		}
		return true, nil
	}
	return false, nil
}

// slice reads a slice by its name in the list.
func (c *Client) slice(ctx context.Context, k part, name string, partition int) (*slice, error) {
	packed, err := c.redis.Get(ctx, k.slice(name)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("%w: slice %s of partition %d", errFolded, name, partition)
	}
	if err != nil {
		return nil, fmt.Errorf("slice %s: %w", name, translate(err))
	}
	s, err := decodeSlice(packed, partition)
	if err != nil {
		return nil, fmt.Errorf("slice %s of partition %d: %w", name, partition, err)
	}
	return s, nil
}

// errFolded says that detail is gone that was asked for: it is folded into sums.
var errFolded = errors.New("the detail is folded into sums by now")

// parseSliceName reads the places of a slice's first and last share.
func parseSliceName(name string, partition int) (first, last shares.Position, err error) {
	a, b, _ := strings.Cut(name, " ")
	first, err1 := parsePlace(a)
	last, err2 := parsePlace(b)
	first.Partition, last.Partition = partition, partition
	if err := errors.Join(err1, err2); err != nil {
		return first, last, fmt.Errorf("name of a slice: %w", err)
	}
	return first, last, nil
}

// merge walks several partitions at once, newest first.
type merge struct {
	// heads are the next shares of the cursors; the newest is taken first.
	heads []head
}

type head struct {
	counted
	cursor *cursor
}

// newMerge starts at a place in each partition, with what is there.
func (l *Ledger) newMerge(ctx context.Context, o *opened, from []shares.Position) (*merge, error) {
	m := new(merge)
	for p, k := range o.parts {
		below := from[p]
		below.Partition = p
		if below.Millis == 0 && below.Seq == 0 {
			continue
		}
		below.Seq++ // places are unique in a partition, so this is the next possible one
		c := &cursor{client: l.Client, partition: p, keys: k, below: below}
		if err := m.advance(ctx, c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// advance takes the next share of a cursor into the heads, which stay in order, newest last.
func (m *merge) advance(ctx context.Context, c *cursor) error {
	next, ok, err := c.next(ctx)
	if err != nil || !ok {
		return err
	}
	at, _ := slices.BinarySearchFunc(m.heads, next.at, func(h head, p shares.Position) int { return h.at.Compare(p) })
	m.heads = slices.Insert(m.heads, at, head{next, c})
	return nil
}

// next returns the newest share that was not returned yet; false when there is none.
func (m *merge) next(ctx context.Context) (counted, bool, error) {
	if len(m.heads) == 0 {
		return counted{}, false, nil
	}
	h := m.heads[len(m.heads)-1]
	m.heads = m.heads[:len(m.heads)-1]
	return h.counted, true, m.advance(ctx, h.cursor)
}

// entryOf reads a share of the log.
func entryOf(m redis.XMessage, partition int) (shares.Entry, error) {
	at, err := parsePlace(m.ID)
	at.Partition = partition
	f := fields{values: m.Values}
	e := shares.Entry{Position: at, Share: shares.Share{
		Account: f.text("a"), Worker: f.text("k"),
		Weight: shares.Weight(f.number("w")), Unit: shares.Unit(f.number("u")),
		Height: int32(f.number("n")), Time: time.UnixMilli(f.number("t")).UTC(),
	}}
	copy(e.Hash[:], f.text("h"))
	copy(e.PreviousBlock[:], f.text("p"))
	target, targetErr := gbt.TargetFromBits(uint32(f.number("g")))
	e.Target = target
	if _, ok := m.Values["b"]; ok {
		e.Found = &shares.Found{
			Bits: uint32(f.number("b")), Value: f.number("v"), Paid: f.number("d"), Window: shares.Weight(f.number("s")),
		}
	}
	if err := errors.Join(err, targetErr, f.err); err != nil {
		return shares.Entry{}, fmt.Errorf("share %s of partition %d: %w", m.ID, partition, err)
	}
	return e, nil
}

// fields reads what a hash or a log entry holds. The first thing that is missing or no number is the
// error.
type fields struct {
	values map[string]any
	err    error
}

func (f *fields) text(name string) string {
	v, ok := f.values[name].(string)
	if !ok && f.err == nil {
		f.err = fmt.Errorf("it has no %s", name)
	}
	return v
}

func (f *fields) number(name string) int64 {
	n, err := strconv.ParseInt(f.text(name), 10, 64)
	if err != nil && f.err == nil {
		f.err = fmt.Errorf("%s: %w", name, err)
	}
	return n
}
