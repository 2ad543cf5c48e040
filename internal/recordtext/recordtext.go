// Package recordtext packs the texts of the journal's records: short ones are kept as they are, long ones
// are compressed with zstd. What a text says is not its business.
package recordtext

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

const (
	// Max is how many bytes a text may have. A settlement with as many payees as a transaction that nodes
	// relay has room for takes 2 MB.
	Max = 8 << 20
	// long is how many bytes a text has that is worth the compressing.
	long = 512
)

// ErrText says that a text is too long, or that what was packed is damaged.
var ErrText = errors.New("not a record's text")

// Packer packs and unpacks texts. It is safe for concurrent use.
type Packer struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

// New makes a Packer.
func New() (*Packer, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(Max))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &Packer{encoder, decoder}, nil
}

// Pack packs a text that begins with a brace, as JSON objects do. It fails with ErrText if the text is
// longer than Max. What it returns may be the text itself.
func (p *Packer) Pack(text []byte) ([]byte, error) {
	switch {
	case len(text) > Max:
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are kept", ErrText, len(text), Max)
	case !plain(text):
		return nil, fmt.Errorf("%w: it begins with no brace", ErrText)
	case len(text) < long:
		return text, nil
	}
	return p.encoder.EncodeAll(text, nil), nil
}

// Unpack returns the text again, or fails with ErrText. It needs no more memory than a text of Max bytes
// does, whatever it is given. What it returns may be the packed text itself.
func (p *Packer) Unpack(packed []byte) ([]byte, error) {
	if plain(packed) {
		return packed, nil
	}
	text, err := p.decoder.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrText, err)
	}
	if !plain(text) {
		return nil, fmt.Errorf("%w: it begins with no brace", ErrText)
	}
	return text, nil
}

// plain tells a text from what zstd makes of one.
func plain(text []byte) bool { return len(text) > 0 && text[0] == '{' }
