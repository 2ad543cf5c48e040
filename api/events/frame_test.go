package events

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gbtpool/gbtpool/shares"
)

func FuzzPlace(f *testing.F) {
	for _, seed := range []string{"0-0", "1790000000000-3", "18446744073709551615-18446744073709551615", "1", "-", "+1-1", "1-1-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		p, err := parsePlace(id)
		if err != nil {
			return
		}
		q, err := parsePlace(p.String())
		if err != nil || q != p {
			t.Errorf("%q is %v, and that is %v (%v)", id, p, q, err)
		}
		if next := (place{p.millis, p.seq + 1}); next.seq != 0 && !next.after(p) {
			t.Errorf("%v is not after %v", next, p)
		}
		if p.before(back).after(p) {
			t.Errorf("%v is after %v", p.before(back), p)
		}
	})
}

// FuzzFrame holds what is sent of an event to being one event, whatever is in it.
func FuzzFrame(f *testing.F) {
	f.Add("1-0", "block", "", []byte(`{"height":1}`))
	f.Add("1-0", "share", "alice", []byte("{\n\"a\":1}\r\n"))
	f.Add("1-0", "block\nevent: payout", "", []byte("\n\nevent: payout\ndata: {}\n\n"))
	f.Add("1-0", "block", "", []byte("\r\r: \x00\xff"))
	f.Fuzz(func(t *testing.T, id, kind, account string, data []byte) {
		frame, err := newFrame(&shares.Event{ID: id, Kind: kind, Account: account, Data: data})
		if err != nil || frame.text == nil {
			return
		}
		text, found := bytes.CutSuffix(frame.text, []byte("\n\n"))
		if !found || bytes.Contains(text, []byte("\n\n")) || bytes.Contains(text, []byte("\r")) {
			t.Fatalf("%q is not one event", frame.text)
		}
		lines := strings.Split(string(text), "\n")
		if len(lines) < 2 || lines[0] != "id: "+frame.String() || lines[1] != "event: "+kind {
			t.Fatalf("%q does not begin with its id and kind", frame.text)
		}
		var got strings.Builder
		for _, line := range lines[2:] {
			part, found := strings.CutPrefix(line, "data: ")
			if !found {
				t.Fatalf("%q has a line that is no data", frame.text)
			}
			got.WriteString(part)
		}
		if want := strings.NewReplacer("\n", "", "\r", "").Replace(string(data)); got.String() != want {
			t.Errorf("%q is sent as %q", want, got.String())
		}
	})
}
