package events

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gbtpool/gbtpool/shares"
)

// kindGap is the event that says that others are missing.
const kindGap = "gap"

// errID says that a text is no event's ID.
var errID = errors.New("an event's id is two decimal numbers below 2^63 with a - between them")

// place is where an event is among all. Its zero value is before all of them.
type place struct{ millis, seq uint64 }

// parsePlace reads an event's ID.
func parsePlace(id string) (place, error) {
	millis, seq, found := strings.Cut(id, "-")
	if !found {
		return place{}, errID
	}
	var p place
	var err error
	if p.millis, err = strconv.ParseUint(millis, 10, 63); err != nil {
		return place{}, errID
	}
	if p.seq, err = strconv.ParseUint(seq, 10, 63); err != nil {
		return place{}, errID
	}
	return p, nil
}

// String returns the ID.
func (p place) String() string {
	return strconv.FormatUint(p.millis, 10) + "-" + strconv.FormatUint(p.seq, 10)
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.millis, q.millis), cmp.Compare(p.seq, q.seq))
}

// after reports whether p comes after q.
func (p place) after(q place) bool { return p.compare(q) > 0 }

// before returns a place that is a time earlier: IDs tell when events were told, in milliseconds.
func (p place) before(d time.Duration) place {
	return place{millis: p.millis - min(p.millis, uint64(max(0, d.Milliseconds())))}
}

// frame is an event as it is sent. It is made once for all who get it, and immutable.
type frame struct {
	place
	kind, account string
	text          []byte
}

// newFrame makes a frame. Its error says that the log is none. One without a text is not sent: what is in the event
// would be read as something else, or by others than those it is for.
func newFrame(e *shares.Event) (*frame, error) {
	at, err := parsePlace(e.ID)
	if err != nil {
		return nil, fmt.Errorf("event %q: %w", e.ID, err)
	}
	f := &frame{place: at, kind: e.Kind, account: e.Account}
	if isKind(e.Kind) && e.Kind != kindGap && (e.Kind != shares.EventShare || e.Account != "") {
		f.text = appendText(nil, at.String(), e.Kind, e.Data)
	}
	return f, nil
}

// appendText appends an event as text/event-stream has it (HTML, Server-sent events, section 9.2.5); without an id
// it leaves the client's last one.
func appendText(to []byte, id, kind string, data []byte) []byte {
	if id != "" {
		to = append(append(append(to, "id: "...), id...), '\n')
	}
	to = append(append(append(to, "event: "...), kind...), '\n')
	// A line end would end the field. JSON has them between tokens only, where they mean nothing.
	for line := range bytes.FieldsFuncSeq(data, func(r rune) bool { return r == '\n' || r == '\r' }) {
		to = append(append(append(to, "data: "...), line...), '\n')
	}
	return append(to, '\n')
}

// gapText returns the event that says that events after a place are not kept any more.
func gapText(after place) []byte {
	return appendText(nil, "", kindGap, fmt.Appendf(nil, `{"after":%q}`, after))
}

// isKind reports whether a text can be a kind; it has no line end, for one.
func isKind(kind string) bool {
	return kind != "" && strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz0123456789._") == ""
}
