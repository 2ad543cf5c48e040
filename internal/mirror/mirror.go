package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"

	"github.com/gbtpool/gbtpool/internal/recordtext"
	"github.com/gbtpool/gbtpool/internal/spool"
	"github.com/gbtpool/gbtpool/payouts"
	"github.com/gbtpool/gbtpool/shares"
)

const (
	// segment is how many bytes go into one file, and most how many in all: as many as come.
	segment = 64 << 20
	most    = math.MaxInt64 / 2
	// stride is how many records lie between two whose places are remembered.
	stride = 64
)

var (
	// ErrNext says that a record is not the next one.
	ErrNext = errors.New("it is not the mirror's next record")
	// ErrVersion says that a later release has written the mirror.
	ErrVersion = errors.New("the mirror has a format that this release does not know")
)

// Config configures a Mirror.
type Config struct {
	// Dir is the folder for the files, which grow for ever. It is made if it is missing, and may be used by
	// one Mirror at a time. Required.
	Dir string
	// Ledger is the id of the ledger whose journal is copied. Required.
	Ledger string
	// Disk is what is written to; default the operating system's.
	Disk spool.Disk
	// Log gets a line when a crash has left something to repair, and when the disk fails. Required.
	Log *slog.Logger
}

// Mirror is the local copy of a journal. It implements payouts.Mirror, and is used by one goroutine at a
// time.
type Mirror struct {
	cfg    Config
	spool  *spool.Spool
	packer *recordtext.Packer
	head   payouts.Head
	// places are where the records with the numbers 1, 1+stride, 1+2*stride and so on begin.
	places []spool.Place
	// next is the place behind the newest record. unsure is set after an append that has failed, while it is
	// not known what is there.
	next   spool.Place
	unsure bool
	joiner joiner
}

// Open opens the mirror of a folder, or begins one, and checks that each record follows the one before.
// That takes some seconds for each GB. It fails with shares.ErrForeign if it is another ledger's, with
// spool.ErrLocked if another process has it open, with spool.ErrCorrupt if it is damaged by something
// else than a crash, and with ErrVersion.
func Open(ctx context.Context, cfg Config) (*Mirror, error) { return open(ctx, cfg, segment) }

// open is Open with files of another size.
func open(ctx context.Context, cfg Config, segment int64) (*Mirror, error) {
	if cfg.Dir == "" || cfg.Ledger == "" || cfg.Log == nil {
		return nil, errors.New("mirror: Dir, Ledger and Log are required")
	}
	packer, err := recordtext.New()
	if err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	s, err := spool.Open(spool.Config{Dir: cfg.Dir, Segment: segment, Most: most, Disk: cfg.Disk, Log: cfg.Log})
	if err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	m := &Mirror{cfg: cfg, spool: s, packer: packer}
	if err := m.begin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("mirror: %w", err), s.Close())
	}
	return m, nil
}

// Close closes the files. Later calls fail.
func (m *Mirror) Close() error { return m.spool.Close() }

// begin reads what is there, and writes the header if that is nothing.
func (m *Mirror) begin(ctx context.Context) error {
	if m.spool.End() == 0 {
		rec, err := header{Format: format, Ledger: m.cfg.Ledger}.encode()
		if err != nil {
			return err
		}
		if _, err := m.spool.Append(ctx, rec); err != nil {
			return err
		}
	}
	return m.catchUp(ctx)
}

// checkHeader reads the first record of the spool.
func (m *Mirror) checkHeader(rec spool.Record) error {
	var h header
	if len(rec.Data) == 0 || rec.Data[0] != kindHeader || json.Unmarshal(rec.Data[1:], &h) != nil {
		return m.damaged(rec.Place, errors.New("it does not begin as a mirror does: its first files are missing, or it is something else"))
	}
	if h.Format != format {
		return fmt.Errorf("%w: %s has format %d, not %d: run a newer release, or use another folder", ErrVersion, m.cfg.Dir, h.Format, format)
	}
	if h.Ledger != m.cfg.Ledger {
		return fmt.Errorf("%w: %s is the mirror of ledger %s, and the ledger is %s: use the right ledger, or another folder for its mirror",
			shares.ErrForeign, m.cfg.Dir, h.Ledger, m.cfg.Ledger)
	}
	return nil
}

// damaged says that the mirror is not what was written.
func (m *Mirror) damaged(at spool.Place, err error) error {
	return fmt.Errorf("%w: %s, place %d: %w; restore the folder from a copy, or move it away if the journal is sound, to have it copied anew",
		spool.ErrCorrupt, m.cfg.Dir, at, err)
}

// catchUp reads what the spool has behind the newest known record.
func (m *Mirror) catchUp(ctx context.Context) error {
	m.joiner = joiner{}
	for rec, err := range m.spool.Records(m.next) { //nolint:contextcheck // it has none: the loop looks at ctx
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if rec.Place == m.spool.Oldest() {
			if err := m.checkHeader(rec); err != nil {
				return err
			}
			m.next = rec.Next
			continue
		}
		packed, err := m.joiner.add(rec)
		if err == nil && packed != nil {
			err = m.follow(packed, rec.Next)
		}
		if err != nil {
			return m.damaged(rec.Place, err)
		}
	}
	m.unsure = false
	return nil
}

// follow takes the next record, which ends before a place.
func (m *Mirror) follow(packed []byte, next spool.Place) error {
	text, err := m.packer.Unpack(packed)
	if err != nil {
		return err
	}
	seq, previous, err := links(text)
	if err != nil {
		return err
	}
	if seq != m.head.Seq+1 || previous != m.head.Hash {
		return fmt.Errorf("record %d is behind record %d, which it does not follow", seq, m.head.Seq)
	}
	m.advance(payouts.Head{Seq: seq, Hash: sha256.Sum256(text)}, m.joiner.begun, next)
	return nil
}

// advance notes that there is another record between two places.
func (m *Mirror) advance(head payouts.Head, begun, next spool.Place) {
	if (head.Seq-1)%stride == 0 {
		m.places = append(m.places, begun)
	}
	m.head, m.next = head, next
}

// Head implements payouts.Mirror. After an Append that has failed it may be one record behind.
func (m *Mirror) Head() payouts.Head { return m.head }

// Append implements payouts.Mirror. A record that is the newest already is nothing to do, so that an append
// that has failed may be tried again. Another one in its place, or one that follows another, fails with
// payouts.ErrDiverged, one with any other number with ErrNext, and one that is not sound, or longer than
// recordtext.Max, with payouts.ErrRecord.
func (m *Mirror) Append(ctx context.Context, r *payouts.Record) error {
	if err := m.append(ctx, r); err != nil {
		return fmt.Errorf("mirror: record %d: %w", r.Seq, err)
	}
	return nil
}

// append is Append without the place in the error.
func (m *Mirror) append(ctx context.Context, r *payouts.Record) error {
	if err := r.Check(); err != nil {
		return err
	}
	text, err := r.Encode()
	if err != nil {
		return err
	}
	if m.unsure {
		if err := m.catchUp(ctx); err != nil {
			return err
		}
	}
	head := payouts.Head{Seq: r.Seq, Hash: sha256.Sum256(text)}
	switch {
	case head == m.head:
		return nil
	case r.Seq == m.head.Seq, r.Seq == m.head.Seq+1 && r.Previous != m.head.Hash:
		return payouts.ErrDiverged
	case r.Seq != m.head.Seq+1:
		return fmt.Errorf("%w, which is %d", ErrNext, m.head.Seq+1)
	}
	packed, err := m.packer.Pack(text)
	if err != nil {
		return fmt.Errorf("%w: %w", payouts.ErrRecord, err)
	}
	begun, next, err := m.write(ctx, packed)
	if err != nil {
		m.unsure = true
		return err
	}
	m.advance(head, begun, next)
	return nil
}

// write appends a packed text to the spool and returns where it begins and ends.
func (m *Mirror) write(ctx context.Context, packed []byte) (begun, next spool.Place, err error) {
	for i, p := range pieces(packed) {
		at, err := m.spool.Append(ctx, p)
		if err != nil {
			return 0, 0, err
		}
		if i == 0 {
			begun = at
		}
	}
	return begun, m.spool.End(), nil
}

// Records implements payouts.Mirror. It fails with spool.ErrCorrupt if what is there was damaged since the
// mirror was opened.
func (m *Mirror) Records(from uint64) iter.Seq2[*payouts.Record, error] {
	return func(yield func(*payouts.Record, error) bool) {
		from = max(from, 1)
		if from > m.head.Seq {
			return
		}
		at := (from - 1) / stride
		seq := at*stride + 1
		var j joiner
		for rec, err := range m.spool.Records(m.places[at]) {
			if err != nil {
				yield(nil, fmt.Errorf("mirror: %w", err))
				return
			}
			packed, err := j.add(rec)
			if err == nil && packed == nil {
				continue
			}
			var r *payouts.Record
			if err == nil && seq >= from {
				r, err = m.decode(packed, seq)
			}
			if err != nil {
				yield(nil, fmt.Errorf("mirror: %w", m.damaged(rec.Place, err)))
				return
			}
			if seq >= from && !yield(r, nil) || seq == m.head.Seq {
				return
			}
			seq++
		}
	}
}

// decode reads a packed record.
func (m *Mirror) decode(packed []byte, seq uint64) (*payouts.Record, error) {
	text, err := m.packer.Unpack(packed)
	if err != nil {
		return nil, err
	}
	r, err := payouts.Decode(text)
	if err == nil && r.Seq != seq {
		err = fmt.Errorf("record %d is where record %d has to be: %w", r.Seq, seq, payouts.ErrRecord)
	}
	return r, err
}
