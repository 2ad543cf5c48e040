package redisstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gbtpool/gbtpool/shares"
)

// parsePlace reads a stream ID.
func parsePlace(text string) (shares.Position, error) {
	millis, seq, ok := strings.Cut(text, "-")
	if !ok {
		return shares.Position{}, fmt.Errorf("%q is no place: %w", text, errReply)
	}
	m, err1 := strconv.ParseInt(millis, 10, 64)
	s, err2 := strconv.ParseInt(seq, 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return shares.Position{}, fmt.Errorf("%q is no place: %w", text, err)
	}
	return shares.Position{Millis: m, Seq: s}, nil
}
