package mirror

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gbtpool/gbtpool/internal/recordtext"
	"github.com/gbtpool/gbtpool/internal/spool"
	"github.com/gbtpool/gbtpool/payouts"
)

// What a record of the spool holds.
const (
	kindHeader byte = 1 + iota
	kindBegin
	kindMore
)

const (
	// format is the version of what is written.
	format = 1
	// piece is how many bytes of a packed text one record of the spool holds at most.
	piece = spool.MaxRecord - 1 - 4
	// maxPacked is how many bytes a packed text may have: zstd adds little to what it cannot compress.
	maxPacked = recordtext.Max + recordtext.Max/64
)

// header is what a mirror begins with.
type header struct {
	Format int    `json:"format"`
	Ledger string `json:"ledger"`
}

// encode returns the header as it is in the spool.
func (h header) encode() ([]byte, error) {
	text, err := json.Marshal(h)
	return append([]byte{kindHeader}, text...), err
}

// pieces cuts a packed text into what the spool takes.
func pieces(packed []byte) [][]byte {
	first := binary.BigEndian.AppendUint32([]byte{kindBegin}, uint32(len(packed)))
	n := min(len(packed), piece)
	out := [][]byte{append(first, packed[:n]...)}
	for rest := packed[n:]; len(rest) > 0; rest = rest[n:] {
		n = min(len(rest), piece)
		out = append(out, append([]byte{kindMore}, rest[:n]...))
	}
	return out
}

// errPiece says that the spool holds what pieces does not make.
var errPiece = errors.New("it holds what no mirror writes")

// joiner puts packed texts together again.
type joiner struct {
	packed []byte
	size   int
	begun  spool.Place // where the text begins
}

// add takes the next record of the spool and returns the text that it completes, or nil.
func (j *joiner) add(rec spool.Record) ([]byte, error) {
	switch {
	case len(rec.Data) == 0:
		return nil, errPiece
	case rec.Data[0] == kindBegin && len(rec.Data) >= 5:
		j.size = int(binary.BigEndian.Uint32(rec.Data[1:]))
		j.packed, j.begun = rec.Data[5:], rec.Place
	case rec.Data[0] == kindMore && j.size > 0:
		j.packed = append(j.packed, rec.Data[1:]...)
	default:
		return nil, errPiece
	}
	if j.size > maxPacked || len(j.packed) > j.size {
		return nil, errPiece
	}
	if len(j.packed) < j.size {
		return nil, nil
	}
	packed := j.packed
	j.packed, j.size = nil, 0
	if len(packed) == 0 {
		return nil, errPiece
	}
	return packed, nil
}

// links reads the number of a record and the hash of the one before from its text, whose only spelling
// begins with them: reading all of it takes ten times as long.
func links(text []byte) (seq uint64, previous payouts.Digest, err error) {
	head := string(text[:min(len(text), 128)])
	if _, err := fmt.Sscanf(head, `{"seq":%d,"previous":`, &seq); err != nil {
		return 0, previous, errPiece
	}
	_, rest, _ := strings.Cut(head, `,"previous":"`)
	hash, _, ok := strings.Cut(rest, `"`)
	if !ok || previous.UnmarshalText([]byte(hash)) != nil {
		return 0, previous, errPiece
	}
	return seq, previous, nil
}
