package redisstore

import (
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/gbtpool/gbtpool/shares"
)

const (
	// maxLoad is how many shares of a partition are on one trip at the most.
	maxLoad = 512
	// maxBatch is how many shares one run of the script records at the most: Redis does nothing else meanwhile.
	maxBatch = 64
	// maxTogether is what shares that are recorded together weigh less than: the script adds them up as doubles.
	maxTogether = 1 << 53
)

// trip is the shares of some partitions that go to Redis in one pipeline. Its memory is used again for the next ones.
type trip struct {
	ledger  *Ledger
	id      string
	workers string
	parts   []part
	// fixed are the keys of each partition that all of its shares need.
	fixed [][]string
	// loads are the shares by partition, and on are the partitions that have some.
	loads [][]*pending
	on    []int

	// text has the words of all commands one behind the other, which end where ends says. words are the same, and args
	// point to them: that is how a pipeline takes them without a copy of each.
	text  []byte
	ends  []int
	words []string
	args  []any
}

func newTrip(l *Ledger, o *opened) *trip {
	t := &trip{ledger: l, id: o.Ledger, workers: strconv.Itoa(l.Client.cfg.Workers), parts: o.parts, loads: make([][]*pending, len(o.parts))}
	for _, k := range o.parts {
		t.fixed = append(t.fixed, []string{k.state(), k.log(), k.sums(), k.round(), k.figures()})
	}
	return t
}

// load takes shares of a partition along, as many as one trip may have, and returns the others.
func (t *trip) load(partition int, list []*pending) []*pending {
	t.on = append(t.on, partition)
	if len(list) <= maxLoad {
		rest := t.loads[partition][:0]
		t.loads[partition] = list
		return rest
	}
	t.loads[partition] = append(t.loads[partition][:0], list[:maxLoad]...)
	return slices.Delete(list, 0, maxLoad)
}

// unload forgets all that the trip was for.
func (t *trip) unload() {
	for _, p := range t.on {
		clear(t.loads[p])
		t.loads[p] = t.loads[p][:0]
	}
	t.on = t.on[:0]
}

// batch is shares of a partition that one run of the script records: all, or none if it fails.
type batch struct {
	partition int
	shares    []*pending
}

// batches parts the shares. A found block is one of its own, because it ends the round, and so is one share that alone
// weighs as much as others may together.
func (t *trip) batches() []batch {
	var out []batch
	for _, p := range t.on {
		list := t.loads[p]
		for len(list) > 0 {
			n, weight := 1, list[0].share.Weight
			for ; n < min(len(list), maxBatch) && list[0].share.Found == nil && list[n].share.Found == nil; n++ {
				if weight += list[n].share.Weight; weight >= maxTogether || weight < 0 {
					break
				}
			}
			out = append(out, batch{p, list[:n]})
			list = list[n:]
		}
	}
	return out
}

// encode makes the calls that record batches, each in a partition's own order. They are good until the next.
func (t *trip) encode(batches []batch) []invocation {
	t.text, t.ends, t.words, t.args = t.text[:0], t.ends[:0], t.words[:0], t.args[:0]
	calls, from := make([]invocation, len(batches)), make([]int, len(batches)+1)
	for i, b := range batches {
		t.command(b)
		from[i+1] = len(t.ends)
	}
	all, begin := string(t.text), 0
	t.words = slices.Grow(t.words, len(t.ends))
	t.args = slices.Grow(t.args, len(t.ends))
	for i, end := range t.ends {
		t.words = append(t.words, all[begin:end])
		t.args = append(t.args, &t.words[i])
		begin = end
	}
	for i, b := range batches {
		keys, end := from[i]+firstKey, from[i+1]
		args := keys + t.keyCount(b)
		calls[i] = invocation{t.ledger.scripts.record, t.words[keys:args], t.args[args:end], t.args[from[i]:end]}
	}
	return calls
}

// keyCount returns how many keys a call has.
func (t *trip) keyCount(b batch) int {
	n := len(t.fixed[b.partition]) + 4*len(b.shares)
	if b.shares[0].share.Found != nil {
		n += 3
	}
	return n
}

// end ends a word.
func (t *trip) end() { t.ends = append(t.ends, len(t.text)) }

func (t *trip) word(text string) {
	t.text = append(t.text, text...)
	t.end()
}

func (t *trip) number(n int64) {
	t.text = strconv.AppendInt(t.text, n, 10)
	t.end()
}

// command writes the words of a call.
func (t *trip) command(b batch) {
	t.word("") // for the command
	t.word("") // and the script
	k, first := t.parts[b.partition], b.shares[0].share
	t.number(int64(t.keyCount(b)))
	for _, key := range t.fixed[b.partition] {
		t.word(key)
	}
	for _, w := range b.shares {
		t.keysOf(k, w.share)
	}
	var hash string
	if first.Found != nil {
		hash = first.Hash.String()
		t.word(k.block(hash))
		t.word(k.frozen(hash))
		t.word(k.blocks())
	}
	t.word(t.id)
	if mark := t.ledger.queue.marks[b.partition]; mark != (shares.Position{}) {
		t.text = append(strconv.AppendInt(t.text, mark.Millis, 10), '-')
		t.text = strconv.AppendInt(t.text, mark.Seq, 10)
	}
	t.end()
	t.word(t.workers)
	t.number(int64(len(b.shares)))
	for _, w := range b.shares {
		t.share(w.share)
	}
	if f := first.Found; f != nil {
		t.word(hash)
		t.number(int64(f.Bits))
		t.number(f.Value)
		t.number(f.Paid)
		t.number(int64(f.Window))
		t.number(int64(first.Unit))
		t.number(int64(first.Target.Bits()))
		t.text = append(t.text, first.PreviousBlock[:]...)
		t.end()
	}
}

// keysOf writes the keys that are a share's own.
func (t *trip) keysOf(k part, s *shares.Share) {
	t.text = k.appendSeen(t.text, s.Height)
	t.end()
	t.text = k.appendAccount(t.text, s.Account)
	t.end()
	t.text = k.appendWorker(t.text, s.Account, s.Worker)
	t.end()
	t.text = k.appendWorkers(t.text, s.Account)
	t.end()
}

// share writes what is recorded of a share.
func (t *trip) share(s *shares.Share) {
	t.text = appendEntry(t.text, s)
	t.end()
	t.word(s.Account)
	t.word(s.Worker)
	t.number(int64(s.Weight))
	t.number(int64(s.Height))
	t.number(s.Time.UnixMilli())
	number := s.Hash
	slices.Reverse(number[:])
	t.text = hex.AppendEncode(t.text, number[:])
	t.end()
}
