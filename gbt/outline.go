package gbt

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
)

// Outline is what has to be known of a node's template to follow the node.
type Outline struct {
	// Previous is the block that it builds on.
	Previous chainhash.Hash
	// LongPollID is what to wait for its replacement with; empty if the node offers no long polls.
	LongPollID string
}

// The members that make an outline.
const (
	keyPrevious   = "previousblockhash"
	keyLongPollID = "longpollid"
)

// ReadOutline reads the outline of a getblocktemplate result, without looking closely at the rest of it:
// that is for ParseTemplate. Errors match ErrTemplate.
func ReadOutline(raw []byte) (Outline, error) {
	previous, id, ok := scanOutline(raw)
	if !ok {
		var in struct {
			Previous   string `json:"previousblockhash"`
			LongPollID string `json:"longpollid"`
		}
		if err := json.Unmarshal(raw, &in); err != nil {
			return Outline{}, fmt.Errorf("%w: %w", ErrTemplate, err)
		}
		previous, id = in.Previous, in.LongPollID
	}
	out := Outline{LongPollID: id}
	if !readHash(&out.Previous, []byte(previous)) {
		return Outline{}, fmt.Errorf("%w: previousblockhash %q is not 64 hexadecimal digits", ErrTemplate, clip(previous))
	}
	return out, nil
}

// scanOutline is ReadOutline for what is written as nodes do.
func scanOutline(raw []byte) (previous, longPollID string, ok bool) {
	s := scanner{text: raw}
	s.members(func(name []byte) {
		var field *string
		switch {
		case strings.EqualFold(string(name), keyPrevious):
			field = &previous
		case strings.EqualFold(string(name), keyLongPollID):
			field = &longPollID
		case simpleName(name):
			s.skip()
			return
		}
		if field == nil {
			s.odd = true
			return
		}
		text := s.word()
		// Of a member that is there twice the general decoder takes the last.
		s.odd = s.odd || *field != "" || !simpleName(text)
		*field = string(text)
	})
	return previous, longPollID, !s.odd && s.peek() == 0 && s.at == len(raw)
}
