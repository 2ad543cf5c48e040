package ledgerfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
)

const (
	// maxFaults is how many faults are told. A file with more of them is not read on.
	maxFaults = 100
	// every is after how many lines progress is told.
	every = 1 << 12
)

// limits bound the memory that verifying takes: the accounts of one partition, the blocks of all, the
// hashes that are compared, and the places of one partition.
type limits struct{ accounts, blocks, hashes, places int }

// Report is what Verify found out.
type Report struct {
	Header Header
	// Parts are the partitions that are there, in order.
	Parts []*Part
	// Blocks counts the found blocks.
	Blocks int
	// End is the last line; zero if it was not reached or is wrong.
	End End
	// Faults are those of the file as a whole. Each partition has its own.
	Faults []string
	// Notes say what could not be verified although nothing is wrong.
	Notes []string
}

// Part is what a file has of one partition.
type Part struct {
	Partition int
	// Shares counts all shares and Detail those of them that are there one by one.
	Shares, Detail int64
	// Accounts counts accounts.
	Accounts int
	// Weight is that of all shares, in units of the header's Unit.
	Weight *big.Int
	// Faults are what is wrong; none if all is well.
	Faults []string
}

// CountFaults returns how many faults there are in all; 0 if the export is sound.
func (r *Report) CountFaults() int {
	n := len(r.Faults)
	for _, p := range r.Parts {
		n += len(p.Faults)
	}
	return n
}

// Totals returns the shares of all partitions and their weight.
func (r *Report) Totals() (count int64, weight *big.Int) {
	weight = new(big.Int)
	for _, p := range r.Parts {
		count += p.Shares
		weight.Add(weight, p.Weight)
	}
	return count, weight
}

// Progress is how far Verify has come: bytes of the file, as it is compressed, and shares.
type Progress struct{ Bytes, Shares int64 }

// Verify reads an export and recomputes all that it says from its shares. What is wrong with it is in the
// report; the error says that it could not be read, or ctx's end. progress is called now and then; nil for
// never.
func Verify(ctx context.Context, file io.Reader, progress func(Progress)) (*Report, error) {
	return verify(ctx, file, progress, limits{accounts: 1 << 20, blocks: 1 << 20, hashes: 1 << 23, places: 1 << 20})
}

func verify(ctx context.Context, file io.Reader, progress func(Progress), most limits) (*Report, error) {
	v := &verifier{
		report: new(Report), most: most, hashes: make(map[[16]byte]struct{}), blocks: make(map[chainhash.Hash]*cuts),
		places: newPlaces(most.places),
	}
	err := v.run(ctx, file, progress)
	if err != nil && !errors.Is(err, ErrUnsound) {
		return nil, err
	}
	if err != nil {
		v.report.Faults = append(v.report.Faults, strings.TrimPrefix(err.Error(), ErrUnsound.Error()+": "))
	}
	return v.report, nil
}

// verifier keeps what is known of the file so far.
type verifier struct {
	reader *Reader
	report *Report
	most   limits
	// part is the partition that is being read; nil between two.
	part *history
	// shares counts the lines of shares, and faults those of all partitions.
	shares int64
	faults int
	// hashes are the parts of all header hashes that no work makes equal, and skipped how many are not there.
	hashes  map[[16]byte]struct{}
	skipped int64
	blocks  map[chainhash.Hash]*cuts
	// partial counts the rounds that were not recomputed because older shares are folded.
	partial int
	// places are those of the partition that is being read, and uncompared counts the promoted blocks whose
	// shares are so old that they are not among them any more.
	places     *places
	uncompared int
}

// cuts is where a block has ended rounds.
type cuts struct {
	// own says that its own share was there, first and last are the partitions that it was cut in, and many
	// how many they are.
	own               bool
	first, last, many int
}

func (v *verifier) run(ctx context.Context, file io.Reader, progress func(Progress)) error {
	r, err := NewReader(file)
	if err != nil {
		return err
	}
	defer r.Close()
	v.reader = r
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := v.record(rec); err != nil {
			return err
		}
		if v.faults > maxFaults {
			return fmt.Errorf("%w: there are more faults than the %d told here, and what comes after line %d was not looked at", ErrUnsound, maxFaults, r.Line())
		}
		if r.Line()%every == 0 {
			if progress != nil {
				progress(Progress{Bytes: r.source.read, Shares: v.shares})
			}
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("verifying: %w", err)
			}
		}
	}
}

// fatal is a fault after which nothing that follows could be understood.
func (v *verifier) fatal(format string, args ...any) error {
	return v.reader.unsound(fmt.Errorf(format+"; what comes after it was not looked at", args...))
}

// record takes the next record.
func (v *verifier) record(rec Record) error {
	switch rec := rec.(type) {
	case *Header:
		v.report.Header = *rec
		return nil
	case *Partition:
		return v.begin(rec)
	case *End:
		return v.end(rec)
	}
	if v.part == nil {
		return v.fatal("it belongs to a partition, but none has begun")
	}
	err := v.part.record(rec)
	if t, ok := rec.(*Total); ok && err == nil {
		v.part.total(t)
		v.part = nil
	}
	return err
}

// begin begins a partition.
func (v *verifier) begin(p *Partition) error {
	next := len(v.report.Parts)
	if v.part != nil || p.Partition != next || next >= v.report.Header.Partitions {
		return v.fatal("partition %d does not begin here", p.Partition)
	}
	v.part = newHistory(v, p.Partition)
	v.places.reset()
	v.report.Parts = append(v.report.Parts, v.part.Part)
	return nil
}

// end takes the last line.
func (v *verifier) end(e *End) error {
	if have, want := len(v.report.Parts), v.report.Header.Partitions; v.part != nil || have != want {
		return v.fatal("the end comes after %d of %d partitions", have, want)
	}
	v.report.End = *e
	v.compareCuts()
	if v.partial > 0 {
		v.note("rounds of blocks that were not recomputed, because some of their shares are folded into sums: %d", v.partial)
	}
	if v.uncompared > 0 {
		v.note("promoted blocks that were not compared with their shares, because too many others came between: %d", v.uncompared)
	}
	if v.skipped > 0 {
		v.note("shares whose header hashes were not compared with those of others, because there are more than %d: %d", v.most.hashes, v.skipped)
	}
	return nil
}

func (v *verifier) note(format string, args ...any) {
	v.report.Notes = append(v.report.Notes, fmt.Sprintf(format, args...))
}

// compareCuts looks whether blocks ended the round in all partitions. One that was found while the
// partitions were read one after the other is not in those that were read before.
func (v *verifier) compareCuts() {
	hashes := slices.SortedFunc(maps.Keys(v.blocks), func(a, b chainhash.Hash) int { return strings.Compare(a.String(), b.String()) })
	for _, hash := range hashes {
		b, all := v.blocks[hash], v.report.Header.Partitions
		switch {
		case !b.own && b.first == 0:
			v.report.Faults = append(v.report.Faults, fmt.Sprintf("block %s ended rounds, but the block itself is not there", hash))
		case !b.own:
			v.note("block %s was found during the export: it ended the rounds of %d of %d partitions, and its own share is in none", hash, b.many, all)
		case b.many < all:
			v.note("block %s ended the rounds of %d of %d partitions: it was found during the export. If another export says so too, "+
				"its gateway died just then, and gbtpool ledger round --block %s ends the others", hash, b.many, all, hash)
		}
	}
}

// newHash notes the hash of a header; false if it was there before.
func (v *verifier) newHash(h chainhash.Hash) bool {
	key := [16]byte(h[:16])
	if _, there := v.hashes[key]; there {
		return false
	}
	if len(v.hashes) >= v.most.hashes {
		v.skipped++
		return true
	}
	v.hashes[key] = struct{}{}
	return true
}
