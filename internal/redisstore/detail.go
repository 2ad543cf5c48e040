package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/redis/go-redis/v9"

	"github.com/gbtpool/gbtpool/shares"
)

// page is how many shares are read from a log at a time. Redis takes about a microsecond for each, and does nothing else
// meanwhile; all partitions may be read at once.
const page = 400

// counted is what a window needs of a share.
type counted struct {
	at      shares.Position
	account string
	weight  shares.Weight
}

// cursor walks the detail of one partition from a place backwards, first through the log, then
// through the slices. What is compacted while it walks it finds in the slices, because it goes by
// place. It reads ahead: a goroutine of its own fetches the next part, and ends by itself.
type cursor struct {
	client    *Client
	partition int
	keys      part
	// opener unpacks slices; nil until it is needed. Cursors may share one.
	opener *zstd.Decoder
	// below is the place that all that is to be fetched lies before. While a fetch is on its way it
	// and what follows are the fetch's.
	below shares.Position
	// index is the list of slices once the log is walked through.
	index   []string
	indexed bool

	// ahead brings what is being fetched; nil if nothing is.
	ahead chan fetched
	// detail is what was fetched, and left how many of its oldest shares are still to be returned. The
	// next part is fetched once no more than half are.
	detail     *slice
	left, half int
}

// fetched is the next part of the detail, as far as it lies below the cursor: so many of its oldest
// shares. No detail is the end.
type fetched struct {
	detail *slice
	many   int
	err    error
}

// next returns the next older share; false when there is none.
func (c *cursor) next(ctx context.Context) (counted, bool, error) {
	if c.left == 0 {
		c.readAhead(ctx)
		got := <-c.ahead
		c.ahead = nil
		if got.err != nil || got.detail == nil {
			return counted{}, false, got.err
		}
		c.detail, c.left, c.half = got.detail, got.many, got.many/2
	}
	if c.left--; c.left == c.half {
		c.readAhead(ctx)
	}
	d := c.detail
	return counted{d.places[c.left], d.accounts[d.account[c.left]], d.weights[c.left]}, true, nil
}

// readAhead has the next part fetched, unless it is already.
func (c *cursor) readAhead(ctx context.Context) {
	if c.ahead != nil {
		return
	}
	ahead := make(chan fetched, 1) // so that nobody need wait for it
	c.ahead = ahead
	go func() { ahead <- c.fetch(ctx) }()
}

// fetch reads the next part.
func (c *cursor) fetch(ctx context.Context) fetched {
	var got fetched
	if !c.indexed {
		got = c.fetchLog(ctx)
	}
	if got.err == nil && got.detail == nil {
		got = c.fetchSlice(ctx)
	}
	if got.detail != nil {
		c.below = got.detail.places[0]
	}
	return got
}

// fetchLog reads shares of the log. If there are none any more, it reads the list of slices instead.
func (c *cursor) fetchLog(ctx context.Context) fetched {
	messages, err := c.client.redis.XRevRangeN(ctx, c.keys.log(), "("+c.below.String(), "-", page).Result()
	if err != nil {
		return fetched{err: fmt.Errorf("log: %w", translate(err))}
	}
	if len(messages) > 0 {
		d, err := detailOf(messages, c.partition)
		return fetched{d, len(messages), err}
	}
	// Only now: what was trimmed from the log before is in the index.
	if c.index, err = c.client.redis.LRange(ctx, c.keys.slices(), 0, -1).Result(); err != nil {
		return fetched{err: fmt.Errorf("slices: %w", translate(err))}
	}
	c.indexed = true
	return fetched{}
}

// detailOf makes detail of a part of the log that comes newest first.
func detailOf(messages []redis.XMessage, partition int) (*slice, error) {
	n := len(messages)
	d := &slice{
		places: make([]shares.Position, n), accounts: make([]string, n), account: make([]uint32, n), weights: make([]shares.Weight, n),
	}
	for i, m := range messages {
		c, err := countedOf(m, partition)
		if err != nil {
			return nil, err
		}
		to := n - 1 - i
		d.places[to], d.accounts[to], d.account[to], d.weights[to] = c.at, c.account, uint32(to), c.weight
	}
	return d, nil
}

// fetchSlice reads the newest slice that has anything below the cursor.
func (c *cursor) fetchSlice(ctx context.Context) fetched {
	for len(c.index) > 0 {
		name := c.index[len(c.index)-1]
		c.index = c.index[:len(c.index)-1]
		first, _, err := parseSliceName(name, c.partition)
		if err != nil {
			return fetched{err: err}
		}
		if first.Compare(c.below) >= 0 {
			continue
		}
		if c.opener == nil {
			if c.opener, err = newSliceOpener(); err != nil {
				return fetched{err: err}
			}
		}
		d, err := c.client.sliceBy(ctx, c.opener, c.keys, name, c.partition)
		if err != nil {
			return fetched{err: err}
		}
		if many, _ := slices.BinarySearchFunc(d.places, c.below, shares.Position.Compare); many > 0 {
			return fetched{d, many, nil}
		}
	}
	return fetched{}
}

// slice reads a slice by its name in the list.
func (c *Client) slice(ctx context.Context, k part, name string, partition int) (*slice, error) {
	opener, err := newSliceOpener()
	if err != nil {
		return nil, err
	}
	return c.sliceBy(ctx, opener, k, name, partition)
}

// sliceBy is slice for who has many to unpack.
func (c *Client) sliceBy(ctx context.Context, opener *zstd.Decoder, k part, name string, partition int) (*slice, error) {
	packed, err := c.redis.Get(ctx, k.slice(name)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("%w: slice %s of partition %d", shares.ErrFolded, name, partition)
	}
	if err != nil {
		return nil, fmt.Errorf("slice %s: %w", name, translate(err))
	}
	s, err := decodeSlice(opener, packed, partition)
	if err != nil {
		return nil, fmt.Errorf("slice %s of partition %d: %w", name, partition, err)
	}
	return s, nil
}

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
	// heads are the next shares of the cursors, newest last; the newest is taken first.
	heads []*head
}

type head struct {
	counted
	cursor *cursor
}

// newMerge starts at a place in each partition, with what is there.
func (l *Ledger) newMerge(ctx context.Context, o *opened, from []shares.Position) (*merge, error) {
	opener, err := newSliceOpener()
	if err != nil {
		return nil, err
	}
	var all []*head
	for p, k := range o.parts {
		below := from[p]
		below.Partition = p
		if below.Millis == 0 && below.Seq == 0 {
			continue
		}
		below.Seq++ // places are unique in a partition, so this is the next possible one
		c := &cursor{client: l.Client, partition: p, keys: k, opener: opener, below: below}
		c.readAhead(ctx) // all at once
		all = append(all, &head{cursor: c})
	}
	m := new(merge)
	for _, h := range all {
		if err := m.advance(ctx, h); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// advance puts a head that is not among the others back among them, with the next share of its cursor.
func (m *merge) advance(ctx context.Context, h *head) error {
	next, ok, err := h.cursor.next(ctx)
	if err != nil || !ok {
		return err
	}
	h.counted = next
	at, _ := slices.BinarySearchFunc(m.heads, next.at, func(h *head, p shares.Position) int { return h.at.Compare(p) })
	m.heads = slices.Insert(m.heads, at, h)
	return nil
}

// next returns the newest share that was not returned yet; false when there is none.
func (m *merge) next(ctx context.Context) (counted, bool, error) {
	if len(m.heads) == 0 {
		return counted{}, false, nil
	}
	h := m.heads[len(m.heads)-1]
	m.heads = m.heads[:len(m.heads)-1]
	out := h.counted
	return out, true, m.advance(ctx, h)
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

// four reads a field of four numbers with spaces between them.
func (f *fields) four(name string) (a, b, c, d int64) {
	texts := strings.Split(f.text(name), " ")
	if len(texts) != 4 {
		if f.err == nil {
			f.err = fmt.Errorf("%s is not four numbers", name)
		}
		return 0, 0, 0, 0
	}
	var out [4]int64
	for i, text := range texts {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil && f.err == nil {
			f.err = fmt.Errorf("%s: %w", name, err)
		}
		out[i] = n
	}
	return out[0], out[1], out[2], out[3]
}
