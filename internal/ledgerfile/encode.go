package ledgerfile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/shares"
)

const (
	// seconds and millis are how times are written: RFC 3339, in UTC.
	seconds = "2006-01-02T15:04:05Z"
	millis  = "2006-01-02T15:04:05.000Z"
)

// line spells one object. What cannot be spelled is its error.
type line struct {
	b   []byte
	err error
}

// spell appends a record to b.
func spell(b []byte, r Record) ([]byte, error) {
	l := &line{b: append(b, '{')}
	r.write(l)
	return append(l.b, '}'), l.err
}

func (l *line) fail(name string, err error) {
	if l.err == nil {
		l.err = fmt.Errorf("%s: %w", name, err)
	}
}

// name begins a field. The names are plain.
func (l *line) name(name string) {
	if l.b[len(l.b)-1] != '{' {
		l.b = append(l.b, ',')
	}
	l.b = append(l.b, '"')
	l.b = append(l.b, name...)
	l.b = append(l.b, '"', ':')
}

// plain writes a string that needs no escapes.
func (l *line) plain(name, value string) {
	l.name(name)
	l.b = append(l.b, '"')
	l.b = append(l.b, value...)
	l.b = append(l.b, '"')
}

func (l *line) text(name, value string) {
	l.name(name)
	b, err := jsontext.AppendQuote(l.b, value)
	if err != nil {
		l.fail(name, fmt.Errorf("%q is no text: %w", value, err))
	}
	l.b = b
}

var errNegative = errors.New("it is below 0")

// count writes a number that is not below 0.
func (l *line) count(name string, n int64) {
	if n < 0 {
		l.fail(name, errNegative)
	}
	l.number(name, n)
}

func (l *line) number(name string, n int64) {
	l.name(name)
	l.b = strconv.AppendInt(l.b, n, 10)
}

func (l *line) weight(name string, w shares.Weight) {
	if w < 0 {
		l.fail(name, errNegative)
	}
	l.name(name)
	l.b = append(l.b, '"')
	l.b = strconv.AppendInt(l.b, int64(w), 10)
	l.b = append(l.b, '"')
}

func (l *line) sum(name string, n *big.Int) {
	if n.Sign() < 0 {
		l.fail(name, errNegative)
	}
	l.name(name)
	l.b = append(l.b, '"')
	l.b = n.Append(l.b, 10)
	l.b = append(l.b, '"')
}

func (l *line) place(name string, at shares.Position) {
	if at.Millis < 0 || at.Seq < 0 {
		l.fail(name, errNegative)
	}
	l.name(name)
	l.b = append(l.b, '"')
	l.b = strconv.AppendInt(l.b, at.Millis, 10)
	l.b = append(l.b, '-')
	l.b = strconv.AppendInt(l.b, at.Seq, 10)
	l.b = append(l.b, '"')
}

func (l *line) hash(name string, h chainhash.Hash) { l.plain(name, h.String()) }

func (l *line) time(name, layout string, t time.Time) {
	t = t.UTC()
	if year := t.Year(); year < 0 || year > 9999 {
		l.fail(name, fmt.Errorf("year %d", year))
	}
	l.plain(name, t.Format(layout))
}

func (l *line) truth(name string, is bool) {
	l.name(name)
	l.b = strconv.AppendBool(l.b, is)
}

func (h *Header) write(l *line) {
	l.plain("type", "ledger")
	l.number("version", Version)
	l.text("ledger", h.Ledger)
	l.text("chain", h.Chain)
	l.number("unit", int64(h.Unit))
	l.count("partitions", int64(h.Partitions))
	l.time("created", seconds, h.Created)
	l.time("exported", seconds, h.Exported)
}

func (p *Partition) write(l *line) {
	l.plain("type", "partition")
	l.count("partition", int64(p.Partition))
}

func (f *Folded) write(l *line) {
	l.plain("type", "folded")
	l.count("partition", int64(f.Through.Partition))
	l.place("through", f.Through)
	l.count("shares", f.Shares)
}

// types are what lines of sums are called.
func (k SumKind) String() string {
	return [...]string{FoldedSum: "folded_sum", RoundSum: "round_sum", AccountSum: "sum"}[k]
}

func (s *Sum) write(l *line) {
	l.plain("type", s.Kind.String())
	l.count("partition", int64(s.Partition))
	if s.Block != (chainhash.Hash{}) {
		l.hash("block", s.Block)
	}
	l.text("account", s.Account)
	l.sum("weight", s.Weight)
	l.number("unit", int64(s.Unit))
}

func (s *Share) write(l *line) {
	l.plain("type", "share")
	l.count("partition", int64(s.Partition))
	l.place("place", s.Position)
	l.credit(&s.Entry)
	if s.Hash != (chainhash.Hash{}) {
		l.hash("hash", s.Hash)
		l.proof(&s.Entry)
	}
}

// credit writes what sums need of a share.
func (l *line) credit(e *shares.Entry) {
	l.text("account", e.Account)
	l.text("worker", e.Worker)
	if e.Weight > shares.MaxWeight {
		l.fail("weight", shares.ErrWeight)
	}
	l.weight("weight", e.Weight)
	l.number("unit", int64(e.Unit))
}

// proof writes what else is known of a share, but for its hash.
func (l *line) proof(e *shares.Entry) {
	l.number("height", int64(e.Height))
	l.hash("previous_block", e.PreviousBlock)
	l.name("target")
	l.b = append(l.b, '"')
	l.b = hex.AppendEncode(l.b, e.Target[:])
	l.b = append(l.b, '"')
	l.time("time", millis, e.Time)
	if f := e.Found; f != nil {
		l.name("found")
		l.b = append(l.b, '{')
		l.plain("bits", fmt.Sprintf("%08x", f.Bits))
		l.count("value", f.Value)
		l.count("paid", f.Paid)
		l.weight("window", f.Window)
		l.b = append(l.b, '}')
	}
}

func (b *Block) write(l *line) {
	l.plain("type", "block")
	l.count("partition", int64(b.Partition))
	l.hash("hash", b.Hash)
	l.place("from", b.From)
	l.place("cut", b.Cut)
	l.count("round_shares", b.Shares)
	l.weight("round_weight", b.Round)
	l.truth("released", b.Released)
	if !b.Own() {
		l.number("unit", int64(b.Unit))
		return
	}
	l.place("place", b.Position)
	l.credit(&b.Entry)
	l.proof(&b.Entry)
	if b.Promoted { // such blocks are rare, and all others are spelled without
		l.truth("promoted", true)
	}
}

func (t *Total) write(l *line) {
	l.plain("type", "total")
	l.count("partition", int64(t.Partition))
	l.count("shares", t.Shares)
	l.count("folded", t.Folded)
	l.sum("weight", t.Weight)
	l.number("unit", int64(t.Unit))
	l.place("last", t.Last)
	l.place("round_from", t.RoundFrom)
	l.count("round_shares", t.RoundShares)
	l.weight("round_weight", t.Round)
}

func (e *End) write(l *line) {
	l.plain("type", "end")
	l.count("lines", e.Lines)
	l.plain("sha256", hex.EncodeToString(e.SHA256[:]))
}
