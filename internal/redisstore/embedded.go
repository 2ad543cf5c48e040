package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Embedded is a Redis in this process's memory, for trying out: what is in it ends with it. Keys whose time is over go
// within a second or so.
type Embedded struct {
	server *miniredis.Miniredis
	stop   context.CancelFunc
	// stopped is closed when keys do not age any more.
	stopped chan struct{}
}

// StartEmbedded starts one on a free loopback port.
func StartEmbedded() (*Embedded, error) {
	server, err := miniredis.Run()
	if err != nil {
		return nil, fmt.Errorf("embedded redis: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	e := &Embedded{server, stop, make(chan struct{})}
	go e.age(ctx)
	return e, nil
}

// age has keys grow older until ctx ends: by itself the server's never do, or all of them at every command.
func (e *Embedded) age(ctx context.Context) {
	defer close(e.stopped)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-tick.C:
			now := time.Now()
			e.server.FastForward(now.Sub(last))
			last = now
		case <-ctx.Done():
			return
		}
	}
}

// URL returns where it is, as Config.URL.
func (e *Embedded) URL() string { return "redis://" + e.server.Addr() + "/0" }

// Close stops it; all is lost.
func (e *Embedded) Close() {
	e.stop()
	<-e.stopped
	e.server.Close()
}
