package redisstore

import (
	"fmt"

	"github.com/alicebob/miniredis/v2"
)

// Embedded is a Redis in this process's memory, for trying out: what is in it ends with it.
type Embedded struct{ server *miniredis.Miniredis }

// StartEmbedded starts one on a free loopback port.
func StartEmbedded() (*Embedded, error) {
	server, err := miniredis.Run()
	if err != nil {
		return nil, fmt.Errorf("embedded redis: %w", err)
	}
	// Without it keys that have a time to live would live for ever.
	server.ClockTTL(true)
	return &Embedded{server}, nil
}

// URL returns where it is, as Config.URL.
func (e *Embedded) URL() string { return "redis://" + e.server.Addr() + "/0" }

// Close stops it; all is lost.
func (e *Embedded) Close() { e.server.Close() }
