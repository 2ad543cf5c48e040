package ledgerfile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// promotedBook has a share that was promoted when three others had come since, one of them in another round.
func promotedBook() *book {
	b := newBook(1)
	for i := range 4 {
		b.share("alice", fmt.Sprint("rig", i), 5)
	}
	b.share("alice", "rig", 7) // header 05
	b.share("bob", "rig", 9)
	b.block("bob", 11, false) // header 07
	b.share("bob", "rig", 13)
	b.promote(0, 4, false)
	b.share("alice", "rig", 17)
	return b
}

// TestPromoted has a promoted block sound in each way that its share may be shown, and what does not fit to
// that share found.
func TestPromoted(t *testing.T) {
	const block = `{"type":"block","partition":0,"hash":"00000000000000000000000000000000000000000000000005`
	const share = `"place":"1780000000001-2","account":"alice","worker":"rig","weight":"7"`
	differs := "do not say the same"
	for name, tt := range map[string]struct {
		in, from, to string
		detailed     string // what is said if the share has its header
		compacted    string // what is said if it has not
		folded       string // what is said if it is folded
	}{
		"nothing":   {block, "", "", "", "", ""},
		"worker":    {block, `"again"`, `"other"`, "", "", ""},
		"marker":    {block, `,"promoted":true`, "", "ends the round at", "ends the round at", "ends the round at"},
		"spelling":  {block, `"promoted":true`, `"promoted":false`, "not spelled", "not spelled", "not spelled"},
		"account":   {block, `"alice"`, `"bob"`, differs, differs, ""},
		"weight":    {block, `"weight":"7"`, `"weight":"8"`, differs, differs, ""},
		"place":     {block, `"place":"1780000000001-2"`, `"place":"1780000000001-1"`, differs, differs, ""},
		"no place":  {block, `"place":"1780000000001-2"`, `"place":"1780000000001-3"`, "but there is none", "but there is none", "but there is none"},
		"late":      {block, `"place":"1780000000001-2"`, `"place":"1780000000003-0"`, "ends the round before that", "ends the round before that", "ends the round before that"},
		"hash":      {block, "00000000005000", "00000000006000", differs, "is credited twice", "is credited twice"},
		"new hash":  {block, "00000000005000", "00000000055000", differs, "does not belong here", "does not belong here"},
		"height":    {block, `"height":900001`, `"height":900002`, differs, "", ""},
		"target":    {block, `"target":"00000000000000ffff`, `"target":"00000000000000fffe`, differs, "", ""},
		"previous":  {block, `"previous_block":"07`, `"previous_block":"08`, differs, "", ""},
		"the share": {share, `"alice"`, `"bob"`, differs, differs, "-"},
		"its found": {share, `Z"}`, `Z","found":{"bits":"17034219","value":312512345,"paid":310000000,"window":"1"}}`, differs, "-", "-"},
		"cut":       {block, `"cut":"1780000000002-2"`, `"cut":"1780000000002-1"`, "but the shares before it go up to", "but the shares before it go up to", "but the shares before it go up to"},
		"from":      {block, `"from":"1780000000002-1"`, `"from":"1780000000001-2"`, "but the one before ended at", "but the one before ended at", "but the one before ended at"},
		"round":     {block, `"round_weight":"13"`, `"round_weight":"14"`, "is said to weigh 14", "is said to weigh 14", "is said to weigh 14"},
	} {
		for shown, want := range map[string]string{"detailed": tt.detailed, "compacted": tt.compacted, "folded": tt.folded} {
			if want == "-" {
				continue
			}
			b := promotedBook()
			switch shown {
			case "compacted":
				b.parts[0].detailed = 5
			case "folded":
				for i := range 5 {
					b.parts[0].folded[i] = true
				}
			}
			lines := unpacked(t, file(t, b.records()))
			i := find(t, lines, tt.in)
			if !strings.Contains(lines[i], tt.from) {
				t.Fatalf("%s: %s has no %s", name, lines[i], tt.from)
			}
			lines[i] = strings.Replace(lines[i], tt.from, tt.to, 1)
			_, faults := verified(t, packed(t, sealed(lines)))
			if !strings.Contains(faults, want) || (faults == "") != (want == "") {
				t.Errorf("%s of a promoted block whose share is %s: it says %q, want %q", name, shown, faults, want)
			}
		}
	}
}

// TestNotPromoted has a block that is one among the shares too, and is said to be promoted.
func TestNotPromoted(t *testing.T) {
	b := sample()
	b.parts[1].blocks[1].Promoted = true
	if _, faults := verified(t, file(t, b.records())); !strings.Contains(faults, "do not say the same") {
		t.Errorf("it says %q", faults)
	}
}

// TestPromotedLate has more shares between a promoted block and its cut than are remembered.
func TestPromotedLate(t *testing.T) {
	whole := file(t, promotedBook().records())
	for most, note := range map[int]string{2: "were not compared with their shares", 3: "were not compared with their shares", 4: "", 8: ""} {
		report, err := verify(t.Context(), bytes.NewReader(whole), nil, limits{accounts: 9, blocks: 9, hashes: 99, places: most})
		if err != nil || report.CountFaults() != 0 {
			t.Fatal(err, report)
		}
		if notes := strings.Join(report.Notes, ""); !strings.Contains(notes, note) || (notes == "") != (note == "") {
			t.Errorf("with %d places: %q", most, notes)
		}
	}
}
