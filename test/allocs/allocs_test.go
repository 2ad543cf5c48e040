package allocs

import "testing"

// sink keeps what is made from staying on the stack.
type sink struct{ to []byte }

func TestMeasure(t *testing.T) {
	s := new(sink)
	for _, test := range []struct {
		name string
		want Cost
		run  func()
	}{
		{"nothing", Cost{}, func() {}},
		{"one", Cost{1, 1024}, func() { s.to = make([]byte, 1024) }},
		{"three", Cost{3, 3 * 64}, func() {
			for range 3 {
				s.to = make([]byte, 64)
			}
		}},
	} {
		ran := 0
		got := Measure(func() {
			ran++
			test.run()
		})
		if ran != 1+measurements*runs {
			t.Errorf("%s: %d runs", test.name, ran)
		}
		if Counts && got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}
