package payouts

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// MaxLegs is how many legs a record has at most: what Redis does in one go without holding shares up.
const MaxLegs = 5000

// Digest is a SHA-256 hash, in text as hexadecimal digits.
type Digest [sha256.Size]byte

// String returns the hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("a digest of %d characters, want %d", len(text), hex.EncodedLen(len(d)))
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// Head is the place of a record in the journal; zero before the first.
type Head struct {
	Seq  uint64
	Hash Digest
}

// Kind is what a record says.
type Kind string

// The kinds of records.
const (
	// KindFound says that the share ledger has a block, and whom its coinbase may pay.
	KindFound Kind = "found"
	// KindCredit credits a block, or a part of its accounts.
	KindCredit Kind = "credit"
	// KindAccrue pays a round per share, from the reserve.
	KindAccrue Kind = "accrue"
	// KindVoid says that a block is off the best chain for good and was never credited.
	KindVoid Kind = "void"
	// KindLoss books a block that was credited and is off the best chain, and KindRestore one that came back.
	KindLoss    Kind = "loss"
	KindRestore Kind = "restore"
	// What becomes of a settlement.
	KindPlan    Kind = "plan"
	KindApprove Kind = "approve"
	KindSeal    Kind = "seal"
	KindPublish Kind = "publish"
	KindConfirm Kind = "confirm"
	// KindReopen says that a confirmation was undone by a reorganisation.
	KindReopen Kind = "reopen"
	KindFinal  Kind = "final"
	KindReturn Kind = "return"
	// KindSettle says that an operator takes it for paid by a transaction that was not sealed here.
	KindSettle Kind = "settle"
	// What the operator books: money put in and taken out, or from one of the pool's accounts to another;
	// coins made known; thresholds; payouts paused and resumed.
	KindBook      Kind = "book"
	KindCoin      Kind = "coin"
	KindThreshold Kind = "threshold"
	KindPause     Kind = "pause"
	KindResume    Kind = "resume"
)

// The tables that records set fields of.
const (
	// TableBlocks has what is decided of each block, by hash: BlockState. TableLists has whom its coinbase
	// may pay, by hash and the list's number, where coinbases pay accounts: List.
	TableBlocks = "blocks"
	TableLists  = "lists"
	// TablePlans has the settlements' plans, by id: Plan. TableVersions has what was sealed, by id and
	// number: Version. TableSettlements says what became of each, by id: Status.
	TablePlans       = "plans"
	TableVersions    = "versions"
	TableSettlements = "settlements"
	// TableCoins has the coins that are known, by outpoint: CoinState.
	TableCoins = "coins"
	// TableThresholds has accounts' own thresholds in satoshis.
	TableThresholds = "thresholds"
	// TablePool has single values: PoolPaused.
	TablePool = "pool"
)

// AllTables returns the names of all tables.
func AllTables() []string {
	return []string{TableBlocks, TableLists, TablePlans, TableVersions, TableSettlements, TableCoins, TableThresholds, TablePool}
}

// PoolPaused is the field of TablePool that says why payouts are paused; absent while they are not.
const PoolPaused = "paused"

// Set puts a value into a field of a table. An empty value removes the field.
type Set struct {
	Table string `json:"t"`
	Field string `json:"f"`
	Value string `json:"v,omitempty"`
}

// Record is one entry of the journal: it moves money and says what is known from then on, all or nothing.
// It is immutable once posted.
type Record struct {
	Seq      uint64
	Previous Digest // the hash of the record before; zero in the first
	// Key names what the record does, so that it is done once: "credit:HASH".
	Key  string
	Kind Kind
	Time time.Time // whole milliseconds
	// Legs sum to zero, and no account is in them twice. At most MaxLegs.
	Legs []Leg
	Sets []Set
	// By says who asked for it: the worker's or the operator's name.
	By string
}

// recordJSON is a record as it is read. Legs are pairs.
type recordJSON struct {
	Seq      uint64    `json:"seq"`
	Previous Digest    `json:"previous"`
	Key      string    `json:"key"`
	Kind     Kind      `json:"kind"`
	Time     int64     `json:"time"` // milliseconds since 1970
	By       string    `json:"by"`
	Legs     []legJSON `json:"legs,omitempty"`
	Sets     []Set     `json:"sets,omitempty"`
}

type legJSON Leg

// UnmarshalJSON implements json.Unmarshaler: ["account", amount].
func (l *legJSON) UnmarshalJSON(text []byte) error {
	pair := []any{&l.Account, &l.Amount}
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("a leg of %d parts, want an account and an amount", len(pair))
	}
	return nil
}

// ErrRecord says that a record is not as records have to be.
var ErrRecord = errors.New("not a sound record")

// Encode returns the record as one line of JSON in its only spelling, which Hash is of. It is written by hand
// because a block may credit a million accounts, and each record is written three times.
func (r *Record) Encode() ([]byte, error) {
	out := make([]byte, 0, 256+64*len(r.Legs)+256*len(r.Sets))
	out = strconv.AppendUint(append(out, `{"seq":`...), r.Seq, 10)
	out = append(append(append(out, `,"previous":"`...), r.Previous.String()...), '"')
	var faults []error
	text := func(name, value string) {
		out = append(out, name...)
		var err error
		if out, err = appendText(out, value); err != nil {
			faults = append(faults, err)
		}
	}
	text(`,"key":`, r.Key)
	text(`,"kind":`, string(r.Kind))
	out = strconv.AppendInt(append(out, `,"time":`...), r.Time.UnixMilli(), 10)
	text(`,"by":`, r.By)
	for i, l := range r.Legs {
		before := `,[`
		if i == 0 {
			before = `,"legs":[[`
		}
		text(before, string(l.Account))
		out = append(strconv.AppendInt(append(out, ','), l.Amount, 10), ']')
	}
	if len(r.Legs) > 0 {
		out = append(out, ']')
	}
	for i, s := range r.Sets {
		before := `,{"t":`
		if i == 0 {
			before = `,"sets":[{"t":`
		}
		text(before, s.Table)
		text(`,"f":`, s.Field)
		if s.Value != "" {
			text(`,"v":`, s.Value)
		}
		out = append(out, '}')
	}
	if len(r.Sets) > 0 {
		out = append(out, ']')
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("record %s: %w", r.Key, err)
	}
	return append(out, '}'), nil
}

// appendText appends a text in quotes, as encoding/json has it.
func appendText(out []byte, text string) ([]byte, error) {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(text)
			return append(out, quoted...), err
		}
	}
	return append(append(append(out, '"'), text...), '"'), nil
}

// Decode reads a record that Encode has written, and fails with ErrRecord if it is not sound.
func Decode(text []byte) (*Record, error) {
	var in recordJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	r := &Record{Seq: in.Seq, Previous: in.Previous, Key: in.Key, Kind: in.Kind, Time: time.UnixMilli(in.Time).UTC(), By: in.By, Sets: in.Sets}
	for _, l := range in.Legs {
		r.Legs = append(r.Legs, Leg(l))
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	again, err := r.Encode()
	if err != nil {
		return nil, err
	}
	if string(again) != string(text) {
		return nil, fmt.Errorf("%w: it is not in its only spelling", ErrRecord)
	}
	return r, nil
}

// Head returns the place that the journal is at once the record is posted.
func (r *Record) Head() (Head, error) {
	text, err := r.Encode()
	return Head{Seq: r.Seq, Hash: sha256.Sum256(text)}, err
}

// Check returns an error that matches ErrRecord unless the record's own parts fit together.
func (r *Record) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrRecord, r.Key, fmt.Sprintf(format, args...))
	}
	switch {
	case r.Seq == 0 || r.Key == "" || r.Kind == "":
		return bad("number, key and kind are required")
	case len(r.Legs) > MaxLegs:
		return bad("%d legs, at most %d", len(r.Legs), MaxLegs)
	}
	sum, seen := int64(0), make(map[Account]bool, len(r.Legs))
	for _, l := range r.Legs {
		switch {
		case l.Account == "" || seen[l.Account]:
			return bad("account %q is named twice or has no name", l.Account)
		case l.Amount == 0 || l.Amount > MaxMoney || l.Amount < -MaxMoney:
			return bad("%s changes by %d sat", l.Account, l.Amount)
		}
		seen[l.Account] = true
		sum += l.Amount // cannot wrap: MaxLegs times MaxMoney could, so it is bounded below
		if sum > MaxMoney*2 || sum < -MaxMoney*2 {
			return bad("the legs sum beyond 21 million bitcoin")
		}
	}
	if sum != 0 {
		return bad("the legs sum to %d sat", sum)
	}
	for _, s := range r.Sets {
		if s.Table == "" || s.Field == "" {
			return bad("a field has no name")
		}
	}
	return r.readable(bad)
}

// readable checks that texts are what they are once they are encoded: JSON has no other than UTF-8.
func (r *Record) readable(bad func(string, ...any) error) error {
	texts := append(make([]string, 0, 3+len(r.Legs)+3*len(r.Sets)), r.Key, string(r.Kind), r.By)
	for _, l := range r.Legs {
		texts = append(texts, string(l.Account))
	}
	for _, s := range r.Sets {
		texts = append(texts, s.Table, s.Field, s.Value)
	}
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return bad("%q is not UTF-8", text)
		}
	}
	return nil
}
