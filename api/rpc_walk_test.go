package api

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// parts collects what is found in a text.
type parts []string

func (p *parts) member(name []byte, v jsontext.Value) error {
	*p = append(*p, string(name), string(v))
	return nil
}

func (p *parts) element(v jsontext.Value) error {
	*p = append(*p, string(v))
	return nil
}

// FuzzWalk finds in short texts what the decoder finds.
func FuzzWalk(f *testing.F) {
	for _, text := range []string{
		`{"method": "getblocktemplate", "params": [{"rules": ["segwit"]}], "id":0}`,
		" {\t\"a\\u0062\\\"\" : {\"}\":[1 , -2.5e3,true],\"{\":\"\\\\\"}\r\n, \"\":null , \"n\" : 7 }\n",
		`[1,[2,"]"],{"a":[]}, null ]`, "[]", "{}", " [ ] ", `{"a":1}x`, `[1`, `1`, `"a"`, ``, "[\"\xff\"]", `{"a":1,"a":2}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var walked, decoded parts
		w, ok := walk(raw, jsontext.KindBeginObject)
		err := decodeMembers(raw, decoded.member)
		if ok {
			if fault := w.members(walked.member); fault != nil {
				t.Fatal(fault)
			}
		} else if w, ok = walk(raw, jsontext.KindBeginArray); ok {
			decoded = nil
			err = decodeElements(raw, decoded.element)
			if fault := w.elements(walked.element); fault != nil {
				t.Fatal(fault)
			}
		}
		if !ok {
			return
		}
		if diff := cmp.Diff(decoded, walked); diff != "" || err != nil {
			t.Errorf("%q: %v %s", raw, err, diff)
		}
	})
}

// FuzzPlainJSON takes no text for JSON that is none.
func FuzzPlainJSON(f *testing.F) {
	for _, text := range []string{
		`{"method": "getblocktemplate", "params": [{"rules": ["segwit"], "a": [true, false, null]}], "id":-10}`,
		" [ ] ", "{}", `{"a":1,"a":0}`, "\t7\r\n", `"a"`, `{"a":1}x`, `{"a":1}` + "\x00", `[1,]`, `[,1]`, `{"a"}`, `{"a":}`, `{a:1}`,
		`{"a":1,}`, `{,}`, `[1`, `[1}`, `01`, `-`, `-01`, `1.5`, `1e3`, `truee`, `[tru]`, `nul`, ``, ` `, `"`, "\"\xff\"", "\"\t\"", `"\u0061"`,
		"[[[[[[[[7]]]]]]]]", "[[[[[[[[[7]]]]]]]]]",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if plainJSON(raw) && !jsontext.Value(raw).IsValid(jsontext.AllowDuplicateNames(true)) {
			t.Errorf("%q is taken for JSON", raw)
		}
	})
}

// TestPlainJSON knows what miners write.
func TestPlainJSON(t *testing.T) {
	for _, text := range []string{
		shareText(), askTemplate, `[{"a":[{}, [], true ,false, null, 0, -1, 10]}]`, " 7\n", "[[[[[[[[7]]]]]]]]",
	} {
		if !plainJSON([]byte(text)) {
			t.Errorf("%q is not taken for JSON", text)
		}
	}
}
