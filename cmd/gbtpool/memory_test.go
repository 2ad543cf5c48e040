package main

import (
	"runtime/debug"
	"testing"
)

func TestBoundGarbage(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	for gogc, want := range map[string]int{"": gcPercent, "off": 100, "200": 100} {
		debug.SetGCPercent(100) // what the runtime would have made of it does not matter here
		boundGarbage(func(name string) string { return map[string]string{"GOGC": gogc}[name] })
		if got := debug.SetGCPercent(100); got != want {
			t.Errorf("GOGC %q: %d percent, want %d", gogc, got, want)
		}
	}
}
