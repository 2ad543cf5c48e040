package ledgerfile

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/btcsuite/btcd/chainhash/v2"

	"github.com/gbtpool/gbtpool/gbt"
	"github.com/gbtpool/gbtpool/shares"
)

// wire is whatever a line may hold. What a line of its type must hold, and nothing else, comes from
// spelling it again.
type wire struct {
	Type          string `json:"type"`
	Version       int64  `json:"version"`
	Ledger        string `json:"ledger"`
	Chain         string `json:"chain"`
	Unit          uint8  `json:"unit"`
	Partitions    int    `json:"partitions"`
	Created       string `json:"created"`
	Exported      string `json:"exported"`
	Partition     int    `json:"partition"`
	Through       string `json:"through"`
	Shares        int64  `json:"shares"`
	Block         string `json:"block"`
	Place         string `json:"place"`
	Account       string `json:"account"`
	Worker        string `json:"worker"`
	Weight        string `json:"weight"`
	Hash          string `json:"hash"`
	Height        int32  `json:"height"`
	PreviousBlock string `json:"previous_block"`
	Target        string `json:"target"`
	Time          string `json:"time"`
	Found         *struct {
		Bits   string `json:"bits"`
		Value  int64  `json:"value"`
		Paid   int64  `json:"paid"`
		Window string `json:"window"`
	} `json:"found"`
	From        string `json:"from"`
	Cut         string `json:"cut"`
	RoundShares int64  `json:"round_shares"`
	RoundWeight string `json:"round_weight"`
	Released    bool   `json:"released"`
	Promoted    bool   `json:"promoted"`
	Folded      int64  `json:"folded"`
	Last        string `json:"last"`
	RoundFrom   string `json:"round_from"`
	Lines       int64  `json:"lines"`
	SHA256      string `json:"sha256"`

	err error
}

// decoder reads lines, one after the other.
type decoder struct {
	wire  wire
	again []byte
}

// record reads a line, which must be spelled as spell does it.
func (d *decoder) record(text []byte) (Record, error) {
	d.wire = wire{}
	w := &d.wire
	if err := json.Unmarshal(text, w); err != nil {
		return nil, fmt.Errorf("it is no JSON of this format: %w", plainly(err))
	}
	r := blank(w.Type)
	if r == nil {
		return nil, fmt.Errorf("%q is no type of line", clip(w.Type))
	}
	if h, ok := r.(*Header); ok && w.Version != Version {
		return h, fmt.Errorf("it has version %d of the format, this program reads version %d: use the version of gbtpool that made it", w.Version, Version)
	}
	if err := r.read(w); err != nil {
		return nil, fmt.Errorf("%s: %w", w.Type, err)
	}
	var err error
	if d.again, err = spell(d.again[:0], r); err != nil {
		return nil, fmt.Errorf("%s: %w", w.Type, err)
	}
	if !bytes.Equal(d.again, text) {
		return nil, fmt.Errorf("it is not spelled as gbtpool does it, which would be %s", clip(string(d.again)))
	}
	return r, nil
}

// blank makes a record of a type; nil if there is no such type.
func blank(kind string) Record {
	switch kind {
	case "share":
		return new(Share)
	case "sum":
		return &Sum{Kind: AccountSum}
	case "folded_sum":
		return &Sum{Kind: FoldedSum}
	case "round_sum":
		return &Sum{Kind: RoundSum}
	case "block":
		return new(Block)
	case "folded":
		return new(Folded)
	case "partition":
		return new(Partition)
	case "total":
		return new(Total)
	case "ledger":
		return new(Header)
	case "end":
		return new(End)
	default:
		return nil
	}
}

// plainly drops what the JSON package says of Go types.
func plainly(err error) error {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		return fmt.Errorf("%s has a value of the wrong kind", semantic.JSONPointer)
	}
	return err
}

// clip shortens text for use in a message.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

func (w *wire) fail(name string, err error) {
	if w.err == nil {
		w.err = fmt.Errorf("%s: %w", name, err)
	}
}

func (w *wire) place(name, text string) shares.Position {
	millis, seq, _ := strings.Cut(text, "-")
	m, err1 := strconv.ParseInt(millis, 10, 64)
	s, err2 := strconv.ParseInt(seq, 10, 64)
	if err1 != nil || err2 != nil || m < 0 || s < 0 {
		w.fail(name, fmt.Errorf("%q is no place", clip(text)))
	}
	return shares.Position{Millis: m, Seq: s, Partition: w.Partition}
}

func (w *wire) weight(name, text string) shares.Weight {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		w.fail(name, fmt.Errorf("%q is no weight", clip(text)))
	}
	return shares.Weight(n)
}

// maxDigits is more than any sum of weights has.
const maxDigits = 60

func (w *wire) sum(name, text string) *big.Int {
	n, ok := new(big.Int), false
	if len(text) <= maxDigits { // reading a number takes the square of its length
		n, ok = n.SetString(text, 10)
	}
	if !ok || n.Sign() < 0 {
		w.fail(name, fmt.Errorf("%q is no weight", clip(text)))
		return new(big.Int)
	}
	return n
}

func (w *wire) hash(name, text string) chainhash.Hash {
	h, err := chainhash.NewHashFromStr(text)
	if err != nil || *h == (chainhash.Hash{}) {
		w.fail(name, fmt.Errorf("%q is no hash", clip(text)))
		return chainhash.Hash{}
	}
	return *h
}

func (w *wire) time(name, layout, text string) time.Time {
	t, err := time.Parse(layout, text)
	if err != nil {
		w.fail(name, fmt.Errorf("%q is no time", clip(text)))
	}
	return t
}

func (h *Header) read(w *wire) error {
	*h = Header{
		Ledger: w.Ledger, Chain: w.Chain, Unit: shares.Unit(w.Unit), Partitions: w.Partitions,
		Created: w.time("created", seconds, w.Created), Exported: w.time("exported", seconds, w.Exported),
	}
	const most = 1 << 16
	if h.Partitions < 1 || h.Partitions > most {
		w.fail("partitions", fmt.Errorf("%d is not 1 to %d", h.Partitions, most))
	}
	return w.err
}

func (p *Partition) read(w *wire) error {
	p.Partition = w.Partition
	return w.err
}

func (f *Folded) read(w *wire) error {
	*f = Folded{Through: w.place("through", w.Through), Shares: w.Shares}
	return w.err
}

func (s *Sum) read(w *wire) error {
	*s = Sum{
		Kind: s.Kind, Partition: w.Partition, Account: w.Account, Weight: w.sum("weight", w.Weight), Unit: shares.Unit(w.Unit),
	}
	if w.Block != "" {
		if s.Kind != RoundSum {
			w.fail("block", errors.New("only rounds have one"))
		}
		s.Block = w.hash("block", w.Block)
	}
	return w.err
}

func (s *Share) read(w *wire) error {
	s.Position = w.place("place", w.Place)
	w.credit(&s.Entry)
	if w.Hash != "" {
		s.Hash = w.hash("hash", w.Hash)
		w.proof(&s.Entry)
	}
	return w.err
}

func (w *wire) credit(e *shares.Entry) {
	e.Account, e.Worker, e.Unit = w.Account, w.Worker, shares.Unit(w.Unit)
	e.Weight = w.weight("weight", w.Weight)
}

func (w *wire) proof(e *shares.Entry) {
	if w.PreviousBlock != "0000000000000000000000000000000000000000000000000000000000000000" {
		e.PreviousBlock = w.hash("previous_block", w.PreviousBlock)
	}
	target, err := gbt.ParseTarget(w.Target)
	if err != nil {
		w.fail("target", err)
	}
	e.Height, e.Target, e.Time = w.Height, target, w.time("time", millis, w.Time)
	if f := w.Found; f != nil {
		bits, err := strconv.ParseUint(f.Bits, 16, 32)
		if err != nil {
			w.fail("bits", fmt.Errorf("%q are no bits", clip(f.Bits)))
		}
		e.Found = &shares.Found{Bits: uint32(bits), Value: f.Value, Paid: f.Paid, Window: w.weight("window", f.Window)}
	}
}

func (b *Block) read(w *wire) error {
	*b = Block{
		Entry: shares.Entry{Position: shares.Position{Partition: w.Partition}},
		From:  w.place("from", w.From), Cut: w.place("cut", w.Cut),
		Shares: w.RoundShares, Round: w.weight("round_weight", w.RoundWeight), Released: w.Released,
	}
	b.Unit, b.Hash = shares.Unit(w.Unit), w.hash("hash", w.Hash)
	if w.Found != nil {
		b.Position, b.Promoted = w.place("place", w.Place), w.Promoted
		w.credit(&b.Entry)
		w.proof(&b.Entry)
	}
	return w.err
}

func (t *Total) read(w *wire) error {
	*t = Total{
		Partition: w.Partition, Shares: w.Shares, Folded: w.Folded, Weight: w.sum("weight", w.Weight), Unit: shares.Unit(w.Unit),
		Last: w.place("last", w.Last), RoundFrom: w.place("round_from", w.RoundFrom),
		RoundShares: w.RoundShares, Round: w.weight("round_weight", w.RoundWeight),
	}
	return w.err
}

func (e *End) read(w *wire) error {
	e.Lines = w.Lines
	raw, err := hex.DecodeString(w.SHA256)
	if err != nil || len(raw) != len(e.SHA256) {
		w.fail("sha256", fmt.Errorf("%q is no SHA-256", clip(w.SHA256)))
	}
	copy(e.SHA256[:], raw)
	return w.err
}
