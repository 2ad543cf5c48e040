package shares

import "time"

// Point is what a series of the pool had at a time: numbers for display, by name.
type Point struct {
	// At is in whole milliseconds.
	At     time.Time
	Values map[string]float64
}
