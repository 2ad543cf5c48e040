package rest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/gbtpool/gbtpool/shares"
)

const (
	// defaultLimit and maxLimit are how many entries a page has if nobody says, and at most.
	defaultLimit = 50
	maxLimit     = 200
)

// limitOf returns how many entries a page is to have.
func limitOf(limit *int) (int, error) {
	switch {
	case limit == nil:
		return defaultLimit, nil
	case *limit < 1 || *limit > maxLimit:
		return 0, problem(http.StatusBadRequest, "limit is %d: give 1 to %d", *limit, maxLimit)
	}
	return *limit, nil
}

// cursor makes the opaque text of a place in a list. kind is a letter that tells lists apart.
func cursor(kind, place string) *string {
	text := base64.RawURLEncoding.EncodeToString([]byte(kind + place))
	return &text
}

// placeOf reads a place in a list of a kind; false if the request has none.
func placeOf(kind string, text *string) (string, bool, error) {
	if text == nil || *text == "" {
		return "", false, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(*text)
	place, ok := strings.CutPrefix(string(raw), kind)
	if err != nil || !ok {
		return "", false, errCursor()
	}
	return place, true, nil
}

func errCursor() error {
	return problem(http.StatusBadRequest, "the cursor is not one of this list: take next_cursor of the page before, or leave it out to begin anew")
}

// positionText and parsePosition write and read places of shares.
func positionText(p shares.Position) string {
	return fmt.Sprintf("%d.%d.%d", p.Millis, p.Seq, p.Partition)
}

func parsePosition(text string) (shares.Position, error) {
	var p shares.Position
	if n, err := fmt.Sscanf(text, "%d.%d.%d", &p.Millis, &p.Seq, &p.Partition); n != 3 || err != nil || positionText(p) != text {
		return shares.Position{}, errCursor()
	}
	return p, nil
}
