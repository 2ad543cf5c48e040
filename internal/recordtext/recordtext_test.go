package recordtext

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 2, long - 1, long, long + 1, 1 << 20, Max} {
		random := make([]byte, size)
		if _, err := rand.Read(random); err != nil {
			t.Fatal(err)
		}
		random[0] = '{'
		even := append([]byte{'{'}, bytes.Repeat([]byte("a"), size-1)...)
		for name, text := range map[string][]byte{"random": random, "even": even} {
			packed, err := p.Pack(text)
			if err != nil {
				t.Fatal(err)
			}
			if name == "even" && size > long && len(packed) > size/2 {
				t.Errorf("%d bytes that are all the same become %d", size, len(packed))
			}
			got, err := p.Unpack(packed)
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s %d: %d bytes come back, %v", name, size, len(got), err)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"empty": nil, "no object": []byte("[]"), "too long": append([]byte{'{'}, make([]byte, Max)...),
	} {
		if _, err := p.Pack(text); !errors.Is(err, ErrText) {
			t.Errorf("packing %s: %v, want ErrText", name, err)
		}
	}
	huge := p.encoder.EncodeAll(append([]byte{'{'}, make([]byte, Max)...), nil)
	whole, err := p.Pack(append([]byte{'{'}, make([]byte, 1000)...))
	if err != nil {
		t.Fatal(err)
	}
	for name, packed := range map[string][]byte{
		"empty": nil, "garbage": []byte("garbage"), "too long": huge, "cut": whole[:len(whole)-1],
		"no object": p.encoder.EncodeAll(make([]byte, 1000), nil),
	} {
		if _, err := p.Unpack(packed); !errors.Is(err, ErrText) {
			t.Errorf("unpacking %s: %v, want ErrText", name, err)
		}
	}
}
