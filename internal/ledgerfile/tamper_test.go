package ledgerfile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

// sealed puts lines together, with an end that fits them.
func sealed(lines []string) string {
	text := strings.Join(lines[:len(lines)-1], "\n") + "\n"
	return fmt.Sprintf("%s{\"type\":\"end\",\"lines\":%d,\"sha256\":\"%x\"}\n", text, len(lines)-1, sha256.Sum256([]byte(text)))
}

// find returns the first line with a text in it.
func find(t failer, lines []string, text string) int {
	t.Helper()
	i := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, text) })
	if i < 0 {
		t.Fatal("no line has", text)
	}
	return i
}

// TestTampering changes a sound file in each way that one may be, and has it found: by the checksum, and
// also, if that was made to fit, by what the shares say.
func TestTampering(t *testing.T) {
	replace := func(in, from, to string) func(*testing.T, []string) []string {
		return func(t *testing.T, lines []string) []string {
			t.Helper()
			i := find(t, lines, in)
			if !strings.Contains(lines[i], from) {
				t.Fatalf("%s has no %s", lines[i], from)
			}
			lines[i] = strings.Replace(lines[i], from, to, 1)
			return lines
		}
	}
	move := func(in string, does func(lines []string, i int) []string) func(*testing.T, []string) []string {
		return func(t *testing.T, lines []string) []string { t.Helper(); return does(lines, find(t, lines, in)) }
	}
	drop := func(lines []string, i int) []string { return slices.Delete(lines, i, i+1) }
	repeat := func(lines []string, i int) []string { return slices.Insert(lines, i, lines[i]) }
	swap := func(lines []string, i int) []string {
		lines[i], lines[i+1] = lines[i+1], lines[i]
		return lines
	}
	const (
		rig2  = `"worker":"rig \"2\""`
		block = `{"type":"block","partition":1,"hash":"0000000000000000000000000000000000000000000000000700`
		other = `{"type":"block","partition":0,"hash":"0000000000000000000000000000000000000000000000000700`
		old   = `{"type":"block","partition":0,"hash":"0000000000000000000000000000000000000000000000000300`
	)
	for name, tt := range map[string]struct {
		change func(*testing.T, []string) []string
		// want is what is said of it although the checksum fits.
		want string
	}{
		"weight":           {replace(rig2, `"9007199254740993"`, `"9007199254740994"`), "is said to weigh 9007199254741018, its shares weigh 9007199254741019"},
		"account":          {replace(rig2, "bc1qalice", "bc1qcarol"), "the sum of bc1qalice is said to be 9007199254741018, its shares weigh 25"},
		"foreign account":  {replace(rig2, "bc1qalice", "bc1qbob"), "account bc1qbob belongs into partition 1, not 0"},
		"unit of a share":  {replace(rig2, `"unit":30`, `"unit":31`), "its weight is in units of 2^31 hashes, the ledger counts in 2^30"},
		"place":            {replace(rig2, `1780000000001-1`, `1780000000001-0`), "place 1780000000001-0 does not come after 1780000000001-0"},
		"hash":             {replace(rig2, "0400000000000000", "0500000000000000"), "header 0000000000000000000000000000000000000000000000000500000000000000 is credited twice"},
		"share dropped":    {move(rig2, drop), "the round of block 0000000000000000000000000000000000000000000000000700000000000000 is said to have 2 shares, there are 1"},
		"share repeated":   {move(rig2, repeat), "does not come after"},
		"shares swapped":   {move(rig2, swap), "does not come after"},
		"sum":              {replace(`{"type":"sum","partition":1`, "972", "973"), "the sum of bc1qbob is said to be 2305843009213693973, its shares weigh 2305843009213693972"},
		"sum dropped":      {move(`{"type":"sum","partition":1`, drop), "before it there is no line of the sum of bc1qbob, whose shares weigh 2305843009213693972"},
		"sum repeated":     {move(`{"type":"sum","partition":1`, repeat), "account bc1qbob does not come after bc1qbob"},
		"folded sum":       {replace(`{"type":"folded_sum","partition":0`, `"5"`, `"6"`), "is said to weigh 9007199254741018, its shares weigh 9007199254741019"},
		"folded dropped":   {move(`{"type":"folded","partition":0`, drop), "a sum of this kind does not belong here"},
		"folded shares":    {replace(`{"type":"folded","partition":0`, `"shares":1`, `"shares":2`), "is said to have 1 folded shares, there are 2"},
		"round's sum":      {replace(`{"type":"round_sum","partition":1`, `"20"`, `"21"`), "the weight in the round of block 0000000000000000000000000000000000000000000000000700000000000000 of bc1qbob is said to be 21, its shares weigh 20"},
		"round's sum gone": {move(`{"type":"round_sum","partition":1`, drop), "add up to 0, not to 20"},
		"current round":    {replace(`{"type":"round_sum","partition":0,"account"`, `"13"`, `"14"`), "the weight in the round that goes on of bc1qalice is said to be 14, its shares weigh 13"},
		"block dropped":    {move(block, drop), "a sum of this kind does not belong here"},
		"block and sums dropped": {move(block, func(lines []string, i int) []string { return slices.Delete(lines, i, i+2) }),
			"share 1780000000002-1 is a block, but there is no line of that block"},
		"block moved":        {move(block, swap), "a sum of this kind does not belong here"},
		"block's weight":     {replace(block, `"round_weight":"20"`, `"round_weight":"21"`), "is said to weigh 21, its shares weigh 20"},
		"block's value":      {replace(block, "312512345", "312512346"), "and its share at 1780000000002-1 do not say the same"},
		"block's finder":     {replace(block, `"worker":""`, `"worker":"me"`), "and its share at 1780000000002-1 do not say the same"},
		"block's cut":        {replace(block, `"cut":"1780000000002-1"`, `"cut":"1780000000002-0"`), "ends the round at 1780000000002-0"},
		"block's from":       {replace(block, `"from":"1780000000000-2"`, `"from":"1780000000002-0"`), "begins after 1780000000002-0, but the one before ended at 1780000000000-2"},
		"released":           {replace(block, `"released":false`, `"released":true`), "a sum of this kind does not belong here"},
		"total":              {replace(`{"type":"total","partition":1`, `"shares":3`, `"shares":4`), "the partition is said to have 4 shares, there are 3"},
		"total's last":       {replace(`{"type":"total","partition":1`, `"last":"1780000000002-1"`, `"last":"1780000000002-2"`), "is said to end at 1780000000002-2, but its last share is at 1780000000002-1"},
		"total's round":      {replace(`{"type":"total","partition":0`, `"round_shares":1`, `"round_shares":2`), "the round that goes on is said to have 2 shares, there are 1"},
		"total's round from": {replace(`{"type":"total","partition":1`, `"round_from":"1780000000002-1"`, `"round_from":"0-0"`), "the round is said to begin after 0-0, but the last one ended at 1780000000002-1"},
		"total's partition":  {replace(`{"type":"total","partition":1`, `"partition":1`, `"partition":0`), "it is of partition 0 in the middle of partition 1"},
		"sum's partition":    {replace(`{"type":"sum","partition":1`, `"partition":1`, `"partition":0`), "it is of partition 0 in the middle of partition 1"},
		"share moved": {move(rig2, func(lines []string, i int) []string {
			sum := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, `"type":"sum"`) })
			return slices.Delete(slices.Insert(lines, sum+1, lines[i]), i, i+1)
		}), "it comes after the sums of its partition"},
		"cut":                {replace(other, `"cut":"1780000000001-2"`, `"cut":"1780000000001-1"`), "ends the round at 1780000000001-1, but the shares before it go up to 1780000000001-2"},
		"block's place":      {replace(block, `"place":"1780000000002-1"`, `"place":"1780000000002-0"`), "is at 1780000000002-0, but ends the round at 1780000000002-1"},
		"block's hash":       {replace(old, `0300000000000000`, `0400000000000000`), "header 0000000000000000000000000000000000000000000000000400000000000000 is credited twice"},
		"total dropped":      {move(`{"type":"total","partition":0`, drop), "partition 1 does not begin here"},
		"partition dropped":  {move(`{"type":"partition","partition":1`, drop), "it belongs to a partition, but none has begun"},
		"partition's number": {replace(rig2, `"partition":0`, `"partition":1`), "it is of partition 1 in the middle of partition 0"},
		"partitions":         {replace(`"type":"ledger"`, `"partitions":2`, `"partitions":3`), "the end comes after 2 of 3 partitions"},
		"version":            {replace(`"type":"ledger"`, `"version":1`, `"version":2`), "line 1: it has version 2 of the format, this program reads version 1"},
		"header dropped":     {move(`"type":"ledger"`, drop), "line 1: the first line, and no other, says which ledger it is"},
		"header repeated":    {move(`"type":"ledger"`, repeat), "line 2: the first line, and no other, says which ledger it is"},
		"spaces":             {replace(rig2, `,"unit"`, `, "unit"`), "it is not spelled as gbtpool does it"},
		"fields":             {replace(rig2, `"unit":30`, `"unit":30,"lines":5`), "it is not spelled as gbtpool does it"},
		"unknown fields":     {replace(rig2, `"unit":30`, `"unit":30,"more":5`), "it is not spelled as gbtpool does it"},
		"number for weight":  {replace(rig2, `"9007199254740993"`, `9007199254740993`), "/weight has a value of the wrong kind"},
		"negative weight":    {replace(rig2, `"9007199254740993"`, `"-1"`), `"-1" is no weight`},
		"type":               {replace(rig2, `"type":"share"`, `"type":"shares"`), `"shares" is no type of line`},
		"garbage":            {replace(rig2, `{"type"`, `garbage`), "it is no JSON of this format"},
		"empty line":         {move(rig2, func(lines []string, i int) []string { return slices.Insert(lines, i, "") }), "it is no JSON of this format"},
		// What no other line can contradict: the checksum alone finds it.
		"ledger": {replace(`"type":"ledger"`, "abab", "abac"), ""},
		"worker": {replace(rig2, "rig ", "rag "), ""},
	} {
		t.Run(name, func(t *testing.T) {
			lines := tt.change(t, unpacked(t, file(t, sample().records())))
			_, faults := verified(t, packed(t, strings.Join(lines, "\n")+"\n"))
			if !strings.Contains(faults, "so the file was changed") && !strings.Contains(faults, tt.want) || faults == "" {
				t.Errorf("the checksum does not find it: %q", faults)
			}
			_, faults = verified(t, packed(t, sealed(lines)))
			if !strings.Contains(faults, tt.want) || (faults == "") != (tt.want == "") {
				t.Errorf("with a checksum that fits it says %q, want %q", faults, tt.want)
			}
		})
	}
}

// TestAnyTampering changes one line of any export, in which all shares are there one by one, and makes the
// checksum fit. A cut that is taken out of one partition may never have been made, which is noted.
func TestAnyTampering(t *testing.T) {
	number := regexp.MustCompile(`"(weight|round_weight|shares|folded|round_shares|partition|unit|through|cut|from|last|round_from|account)":"?[^",}]*`)
	rapid.Check(t, func(r *rapid.T) {
		b := anyBook(r)
		b.share("one more", "", 1)
		for i := range b.parts {
			p := &b.parts[i]
			clear(p.folded)
			for j := range p.blocks {
				p.blocks[j].Released = false
			}
		}
		lines := unpacked(r, file(r, b.records()))
		i := rapid.IntRange(1, len(lines)-2).Draw(r, "line")
		switch rapid.SampledFrom([]string{"drop", "repeat", "change", "change"}).Draw(r, "way") {
		case "drop":
			if b.header.Partitions == 1 && strings.Contains(lines[i], `"round_shares":0,`) && strings.Contains(lines[i], `"promoted":true`) {
				return // it moved no cut, its share says nothing of it, and no other partition does: the checksum alone finds it
			}
			lines = slices.Delete(lines, i, i+1)
		case "repeat":
			lines = slices.Insert(lines, i, lines[i])
		case "change":
			all := number.FindAllStringIndex(lines[i], -1)
			at := rapid.SampledFrom(all).Draw(r, "field")
			end := at[1] - 1
			digit := lines[i][end]
			if digit < '0' || digit > '9' {
				digit = '4'
			}
			lines[i] = lines[i][:end] + string('0'+(digit-'0'+1)%10) + lines[i][end+1:]
		}
		if report, faults := verified(r, packed(r, sealed(lines))); faults == "" && len(report.Notes) == 0 {
			r.Fatalf("not found: %s", strings.Join(lines, "\n"))
		}
	})
}

// TestDamage cuts a file off and changes bytes of it, anywhere.
func TestDamage(t *testing.T) {
	whole := file(t, sample().records())
	lines := unpacked(t, whole)
	for n := range whole {
		if _, faults := verified(t, whole[:n]); faults == "" {
			t.Errorf("the first %d of %d bytes are sound", n, len(whole))
		}
		changed := slices.Clone(whole)
		changed[n] ^= 0x10
		// A few bits of zstd mean nothing.
		if _, faults := verified(t, changed); faults == "" && !slices.Equal(unpacked(t, changed), lines) {
			t.Errorf("with byte %d changed it is sound", n)
		}
	}
	for n := range lines {
		if _, faults := verified(t, packed(t, strings.Join(lines[:n], "\n")+"\n")); faults == "" {
			t.Errorf("the first %d of %d lines are sound", n, len(lines))
		}
	}
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"empty":         {nil, "the file is empty"},
		"no zstd":       {[]byte("partition,account\n0,a\n"), "this is no zstd file"},
		"other zstd":    {packed(t, "partition,account\n0,a\n"), "line 1: it is no JSON"},
		"cut off":       {whole[:len(whole)/2], "it is cut off after"},
		"no end":        {packed(t, strings.Join(lines[:len(lines)-1], "\n")+"\n"), "it is cut off after 26 lines"},
		"wrong count":   {packed(t, strings.Replace(strings.Join(lines, "\n")+"\n", `"lines":26`, `"lines":27`, 1)), "it counts 27 lines before it, there are 26"},
		"more lines":    {packed(t, strings.Join(append(lines, lines[1]), "\n")+"\n"), "there is more after the end"},
		"more files":    {slices.Concat(whole, whole), "there is more after the end"},
		"more bytes":    {slices.Concat(whole, []byte("xyzxyzxyz")), "what is compressed is damaged after line 27"},
		"one long line": {packed(t, strings.Repeat("x", maxLine+1)+"\n"), "line 1 is longer than any line of an export"},
	} {
		if _, faults := verified(t, tt.file); !strings.Contains(faults, tt.want) {
			t.Errorf("%s: %q, want %q", name, faults, tt.want)
		}
	}
}

// TestBombs has files that are small and unpack to very much, or want very much memory.
func TestBombs(t *testing.T) {
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithWindowSize(64<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	chunk := bytes.Repeat([]byte{'{'}, 1<<20)
	for range 80 {
		if _, err := z.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, faults := verified(t, out.Bytes()); !strings.Contains(faults, "more memory than any export does") {
		t.Errorf("a window of 64 MB: %q", faults)
	}
	start := time.Now()
	line := `{"type":"partition","partition":0}` + "\n"
	lines := unpacked(t, file(t, newBook(1).records()))
	if _, faults := verified(t, packed(t, lines[0]+"\n"+strings.Repeat(line, 1<<20))); !strings.Contains(faults, "partition 0 does not begin here") {
		t.Errorf("a line many times: %q", faults)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestCreditedTwice has a block whose share is compacted and whose header another account was credited.
func TestCreditedTwice(t *testing.T) {
	b := sample()
	b.parts[1].detailed = 3
	b.parts[1].blocks[1].Hash = b.parts[0].all[2].Hash
	if _, faults := verified(t, file(t, b.records())); !strings.Contains(faults, "is credited twice") {
		t.Errorf("it says %q", faults)
	}
}

// TestLimits has files with more in them than is kept in memory.
func TestLimits(t *testing.T) {
	b := newBook(1)
	for _, account := range []string{"a", "b", "c"} {
		b.block(account, 1, true)
	}
	whole := file(t, b.records())
	enough := limits{accounts: 3, blocks: 3, hashes: 3}
	for _, tt := range []struct {
		change func(*limits)
		fault  string
		note   string
	}{
		{func(*limits) {}, "", ""},
		{func(l *limits) { l.accounts = 2 }, "has more than 2 accounts", ""},
		{func(l *limits) { l.blocks = 2 }, "there are more than 2 blocks", ""},
		{func(l *limits) { l.hashes = 2 }, "", "because there are more than 2: 1"},
	} {
		most := enough
		tt.change(&most)
		report, err := verify(t.Context(), bytes.NewReader(whole), nil, most)
		if err != nil {
			t.Fatal(err)
		}
		faults, notes := strings.Join(report.Faults, "\n"), strings.Join(report.Notes, "\n")
		if !strings.Contains(faults, tt.fault) || !strings.Contains(notes, tt.note) || (faults == "") != (tt.fault == "") || (notes == "") != (tt.note == "") {
			t.Errorf("with %+v: faults %q, notes %q", most, faults, notes)
		}
	}
}

// TestManyFaults has a file with more faults than anybody reads.
func TestManyFaults(t *testing.T) {
	b := newBook(1)
	for range 3 * maxFaults {
		b.share("a", "", 1)
	}
	records := b.records()
	for _, rec := range records {
		if s, ok := rec.(*Share); ok {
			s.Unit++
		}
	}
	report, faults := verified(t, file(t, records))
	if n := report.CountFaults(); n != maxFaults+1 || !strings.Contains(faults, "there are more faults than the 100 told here") {
		t.Errorf("%d faults: %s", n, faults)
	}
}

// TestNotes has blocks that were found while partitions were read one after the other.
func TestNotes(t *testing.T) {
	b := sample()
	b.parts[0].blocks, b.parts[0].ends = b.parts[0].blocks[:1], b.parts[0].ends[:1]
	report, faults := verified(t, file(t, b.records()))
	if faults != "" || len(report.Notes) != 2 || !strings.Contains(report.Notes[0], "ended the rounds of 1 of 2 partitions") {
		t.Errorf("a block after partition 0 was read: %q, %q", faults, report.Notes)
	}
	b = sample()
	own := slices.Clone(b.parts[0].all)
	b.parts[0] = page{all: own[:1], folded: []bool{false}}
	report, faults = verified(t, file(t, b.records()))
	if faults != "" || len(report.Notes) != 3 || !strings.Contains(report.Notes[0], "its own share is in none") {
		t.Errorf("blocks that are only cuts: %q, %q", faults, report.Notes)
	}
	b = sample()
	b.parts[1].blocks, b.parts[1].ends = b.parts[1].blocks[:1], b.parts[1].ends[:1]
	b.parts[1].all[2].Found = nil
	if _, faults = verified(t, file(t, b.records())); !strings.Contains(faults, "ended rounds, but the block itself is not there") {
		t.Errorf("a block that is in no later partition: %q", faults)
	}
	b = sample()
	b.parts[0].folded[1], b.parts[0].folded[2] = true, true
	report, faults = verified(t, file(t, b.records()))
	if faults != "" || len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "rounds of blocks that were not recomputed, because some of their shares are folded into sums: 3") {
		t.Errorf("rounds that are folded: %q, %q", faults, report.Notes)
	}
}

// TestEnds has Verify end with its context, and say if the file cannot be read.
func TestEnds(t *testing.T) {
	b := newBook(1)
	for range 2 * every {
		b.share("a", "", 1)
	}
	whole := file(t, b.records())
	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	_, err := Verify(ctx, bytes.NewReader(whole), func(p Progress) {
		if told++; p.Shares != every-2 || p.Bytes == 0 {
			t.Errorf("progress is %+v", p)
		}
		cancel()
	})
	if !errors.Is(err, context.Canceled) || told != 1 {
		t.Errorf("it ended with %v after progress was told %d times", err, told)
	}
	broken := errors.New("the disk is broken")
	for _, n := range []int{0, 3, 100} {
		_, err = Verify(t.Context(), io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(broken)), nil)
		if !errors.Is(err, broken) || errors.Is(err, ErrUnsound) {
			t.Errorf("a disk that breaks after %d bytes: %v", n, err)
		}
	}
}
