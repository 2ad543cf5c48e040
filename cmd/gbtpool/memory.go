package main

import "runtime/debug"

// gcPercent is how much a gateway's heap may grow, in percent of what is live, before garbage is collected. Of
// thousands of miners who wait, and of templates of megabytes, much is live and little of it moves: Go's own 100
// would keep as much memory for garbage as for all of that, to save a few percent of a core.
const gcPercent = 50

// boundGarbage sets how much garbage is kept, unless the environment says so.
func boundGarbage(environ func(string) string) {
	if environ("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
