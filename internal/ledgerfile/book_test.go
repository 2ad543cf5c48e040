package ledgerfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is a ledger as simple as can be, and what of it an export shows in which way.
type book struct {
	header Header
	parts  []page
	number uint64
}

// page is a partition of a book: all shares, oldest first, and the blocks that cut it.
type page struct {
	all    []shares.Entry
	blocks []Block
	// ends are, for each block, how many shares come before its cut.
	ends []int
	// folded says of each share whether it is shown by its sum alone, and detailed from which share on all
	// is shown.
	folded   []bool
	detailed int
}

func newBook(partitions int) *book {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	return &book{
		header: Header{Ledger: strings.Repeat("ab", 16), Chain: "mainnet", Unit: 30, Partitions: partitions, Created: at, Exported: at.Add(time.Hour)},
		parts:  make([]page, partitions),
	}
}

// entry makes the next share.
func (b *book) entry(account, worker string, weight shares.Weight) shares.Entry {
	b.number++
	target, err := gbt.TargetFromBits(0x1a00ffff)
	if err != nil {
		panic(err)
	}
	e := shares.Entry{
		Position: shares.Position{Millis: 1780000000000 + int64(b.number/3), Seq: int64(b.number % 3), Partition: PartitionOf(account, len(b.parts))},
		Share: shares.Share{
			Account: account, Worker: worker, Weight: weight, Unit: b.header.Unit, Target: target, Height: 900000 + int32(b.number/5),
			PreviousBlock: chainhash.Hash{31: 7}, Time: b.header.Created.Add(time.Duration(b.number) * time.Millisecond),
		},
	}
	binary.BigEndian.PutUint64(e.Hash[:], b.number)
	return e
}

func (b *book) share(account, worker string, weight shares.Weight) {
	e := b.entry(account, worker, weight)
	p := &b.parts[e.Partition]
	p.all = append(p.all, e)
	p.folded = append(p.folded, false)
}

// block adds a share that is one.
func (b *book) block(account string, weight shares.Weight, released bool) {
	b.share(account, "", weight)
	own := PartitionOf(account, len(b.parts))
	p := &b.parts[own]
	e := &p.all[len(p.all)-1]
	e.Found = &shares.Found{Bits: 0x17034219, Value: 312512345, Paid: 310000000, Window: 1 << 60}
	b.parts[own].cut(*e, released)
	for other := range b.parts {
		if other != own {
			b.parts[other].cut(shares.Entry{
				Position: shares.Position{Partition: other}, Share: shares.Share{Hash: e.Hash, Unit: e.Unit},
			}, released)
		}
	}
}

// promote makes a block of a share that is there, and ends the round where the book is by now.
func (b *book) promote(partition, number int, released bool) {
	e := b.parts[partition].all[number]
	e.Found = &shares.Found{Bits: 0x17034219, Value: 312512345, Paid: 310000000, Window: 1 << 60}
	e.Worker, e.Time = "again", e.Time.Add(time.Minute)
	own := &b.parts[partition]
	own.cut(e, released)
	own.blocks[len(own.blocks)-1].Promoted = true
	for other := range b.parts {
		if other != partition {
			b.parts[other].cut(shares.Entry{
				Position: shares.Position{Partition: other}, Share: shares.Share{Hash: e.Hash, Unit: e.Unit},
			}, released)
		}
	}
}

// promotable draws a share that is no block yet; false if there is none.
func (b *book) promotable(r *rapid.T) (partition, number int, ok bool) {
	partition = rapid.IntRange(0, len(b.parts)-1).Draw(r, "promoted in")
	p := &b.parts[partition]
	var free []int
	for i := range p.all {
		if !slices.ContainsFunc(p.blocks, func(bl Block) bool { return bl.Hash == p.all[i].Hash }) {
			free = append(free, i)
		}
	}
	if len(free) == 0 {
		return 0, 0, false
	}
	return partition, rapid.SampledFrom(free).Draw(r, "promoted"), true
}

// cut ends the round in one partition.
func (p *page) cut(e shares.Entry, released bool) {
	end := len(p.all)
	b := Block{Entry: e, From: p.at(p.begin()), Cut: p.at(end), Released: released}
	b.From.Partition, b.Cut.Partition = e.Partition, e.Partition
	_, weight := weigh(p.all[p.begin():end])
	b.Shares, b.Round = int64(end-p.begin()), shares.Weight(weight.Int64())
	p.blocks, p.ends = append(p.blocks, b), append(p.ends, end)
}

// begin returns where in the list the round begins that goes on.
func (p *page) begin() int {
	if len(p.ends) == 0 {
		return 0
	}
	return p.ends[len(p.ends)-1]
}

// at returns the place of the last of the first n shares.
func (p *page) at(n int) shares.Position {
	if n == 0 {
		return shares.Position{}
	}
	return p.all[n-1].Position
}

// weigh adds shares up.
func weigh(list []shares.Entry) (map[string]*big.Int, *big.Int) {
	sums, all := make(map[string]*big.Int), new(big.Int)
	for _, e := range list {
		if sums[e.Account] == nil {
			sums[e.Account] = new(big.Int)
		}
		w := big.NewInt(int64(e.Weight))
		sums[e.Account].Add(sums[e.Account], w)
		all.Add(all, w)
	}
	return sums, all
}

// records is the book as an export.
func (b *book) records() []Record {
	out := []Record{&b.header}
	for p := range b.parts {
		out = append(out, b.parts[p].records(p, b.header.Unit)...)
	}
	return out
}

func (p *page) records(number int, unit shares.Unit) []Record {
	out := []Record{&Partition{Partition: number}}
	none := shares.Position{Partition: number}
	sums := func(kind SumKind, block chainhash.Hash, list []shares.Entry) {
		by, _ := weigh(list)
		for _, account := range slices.Sorted(maps.Keys(by)) {
			out = append(out, &Sum{Kind: kind, Partition: number, Block: block, Account: account, Weight: by[account], Unit: unit})
		}
	}
	next, folded := 0, 0
	cut := func(upTo int) {
		for ; next < len(p.blocks) && p.ends[next] <= upTo; next++ {
			b := p.blocks[next]
			out = append(out, &b)
			begin := 0
			if next > 0 {
				begin = p.ends[next-1]
			}
			if !b.Released {
				sums(RoundSum, b.Hash, p.all[begin:p.ends[next]])
			}
		}
	}
	cut(0)
	for i := 0; i < len(p.all); i++ {
		if p.folded[i] {
			end := i
			for end < len(p.all) && p.folded[end] {
				end++
			}
			out = append(out, &Folded{Through: p.at(end), Shares: int64(end - i)})
			sums(FoldedSum, chainhash.Hash{}, p.all[i:end])
			folded += end - i
			i = end - 1
		} else {
			e := p.all[i]
			if i < p.detailed {
				e.Share = shares.Share{Account: e.Account, Worker: e.Worker, Weight: e.Weight, Unit: e.Unit}
			}
			out = append(out, &Share{Entry: e})
		}
		cut(i + 1)
	}
	sums(AccountSum, chainhash.Hash{}, p.all)
	sums(RoundSum, chainhash.Hash{}, p.all[p.begin():])
	_, all := weigh(p.all)
	_, round := weigh(p.all[p.begin():])
	t := &Total{
		Partition: number, Shares: int64(len(p.all)), Folded: int64(folded), Weight: all, Unit: unit, Last: none, RoundFrom: none,
		RoundShares: int64(len(p.all) - p.begin()), Round: shares.Weight(round.Int64()),
	}
	if len(p.all) > 0 {
		t.Last = p.at(len(p.all))
	}
	if p.begin() > 0 {
		t.RoundFrom = p.at(p.begin())
	}
	return append(out, t)
}

// anyBook draws a book, with anything folded that an export may show so.
func anyBook(r *rapid.T) *book {
	b := newBook(rapid.IntRange(1, 4).Draw(r, "partitions"))
	b.header.Unit = shares.Unit(rapid.IntRange(0, 40).Draw(r, "unit"))
	for range rapid.IntRange(0, 40).Draw(r, "shares") {
		account := fmt.Sprint("account", rapid.IntRange(0, 9).Draw(r, "account"))
		weight := shares.Weight(rapid.Int64Range(1, 1<<50).Draw(r, "weight"))
		if rapid.IntRange(0, 7).Draw(r, "is block") == 0 {
			b.block(account, weight, rapid.Bool().Draw(r, "released"))
		} else if partition, number, ok := b.promotable(r); ok && rapid.IntRange(0, 7).Draw(r, "is promoted") == 0 {
			b.promote(partition, number, rapid.Bool().Draw(r, "released"))
		} else {
			b.share(account, rapid.StringN(0, 4, 20).Draw(r, "worker"), weight)
		}
	}
	for i := range b.parts {
		p := &b.parts[i]
		n := len(p.all)
		first, begin := rapid.IntRange(0, n).Draw(r, "folded"), rapid.IntRange(0, n).Draw(r, "folded later")
		end := rapid.IntRange(begin, n).Draw(r, "folded later to")
		for at := range p.folded {
			p.folded[at] = at < first || at >= begin && at < end
		}
		p.detailed = rapid.IntRange(0, n).Draw(r, "detailed")
	}
	return b
}

// failer is what a test, a fuzz target and a property have in common.
type failer interface {
	Helper()
	Fatal(args ...any)
}

// file writes records into a file.
func file(t failer, records []Record) []byte {
	t.Helper()
	header, ok := records[0].(*Header)
	if !ok {
		t.Fatal("no header")
	}
	var out bytes.Buffer
	w, err := NewWriter(&out, header)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records[1:] {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unpacked returns the lines of a file, without their ends.
func unpacked(t failer, file []byte) []string {
	t.Helper()
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := z.DecodeAll(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// packed makes a file of text.
func packed(t failer, text string) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close() //nolint:errcheck // it writes nowhere
	return z.EncodeAll([]byte(text), nil)
}

// verified verifies a file and returns all that is wrong with it, in one text.
func verified(t failer, file []byte) (*Report, string) {
	t.Helper()
	report, err := Verify(context.Background(), bytes.NewReader(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	faults := slices.Clone(report.Faults)
	for _, p := range report.Parts {
		faults = append(faults, p.Faults...)
	}
	return report, strings.Join(faults, "\n")
}
