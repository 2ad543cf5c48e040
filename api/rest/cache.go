package rest

import (
	"container/list"
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// cache keeps what was read last by key, the least recently used thrown out first, and has one of all who ask for the
// same read it.
type cache[V any] struct {
	most int
	// life is for how long a value is told without a look; 0 is for ever. late is how old one may be to be told while it
	// is read anew.
	life, late time.Duration
	now        func() time.Time
	group      singleflight.Group

	mu     sync.Mutex
	order  *list.List // of *cached[V], the most recently used first; held by mu
	places map[string]*list.Element
	drops  uint64 // held by mu
}

type cached[V any] struct {
	key   string
	value V
	at    time.Time
}

func newCache[V any](most int, life, late time.Duration, now func() time.Time) *cache[V] {
	return &cache[V]{most: most, life: life, late: late, now: now, order: list.New(), places: make(map[string]*list.Element)}
}

// get returns a value, which load reads unless it is known.
func (c *cache[V]) get(ctx context.Context, key string, load func(ctx context.Context) (V, error)) (V, error) {
	v, known, due := c.find(key)
	if known && !due {
		return v, nil
	}
	asked := c.now()
	answer := c.read(ctx, key, load)
	if known {
		return v, nil
	}
	for {
		select {
		case r := <-answer:
			e, ok := r.Val.(*cached[V])
			switch {
			case r.Err != nil || !ok:
				return v, r.Err
			case c.life == 0 || asked.Sub(e.at) < max(c.life, c.late):
				return e.value, nil
			}
			answer = c.read(ctx, key, load) // that was one for others, begun long before
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

// ahead begins to read a value that get would read, for who needs several and waits for all of them at once.
func (c *cache[V]) ahead(ctx context.Context, key string, load func(ctx context.Context) (V, error)) {
	if _, known, due := c.find(key); !known || due {
		c.read(ctx, key, load)
	}
}

// read has one read a value for all who ask.
func (c *cache[V]) read(ctx context.Context, key string, load func(ctx context.Context) (V, error)) <-chan singleflight.Result {
	return c.group.DoChan(key, func() (any, error) {
		// Who asked first may go away; the others want the answer all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readWait)
		defer cancel()
		c.mu.Lock()
		drops := c.drops
		c.mu.Unlock()
		e := &cached[V]{key: key, at: c.now()}
		var err error
		if e.value, err = load(ctx); err != nil {
			return nil, err
		}
		c.put(e, drops)
		return e, nil
	})
}

// find returns a value that is known, and whether it is due to be read anew.
func (c *cache[V]) find(key string) (v V, known, due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	place, ok := c.places[key]
	if !ok {
		return v, false, true
	}
	e, ok := place.Value.(*cached[V])
	if !ok {
		return v, false, true
	}
	age := c.now().Sub(e.at)
	if due = c.life > 0 && age >= c.life; due && age >= c.late {
		c.order.Remove(place)
		delete(c.places, key)
		return v, false, true
	}
	c.order.MoveToFront(place)
	return e.value, true, due
}

// put remembers a value, unless one was dropped since so many were: it may be the one.
func (c *cache[V]) put(e *cached[V], drops uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drops != drops {
		return
	}
	if place, ok := c.places[e.key]; ok {
		c.order.Remove(place)
	}
	c.places[e.key] = c.order.PushFront(e)
	for len(c.places) > c.most {
		last := c.order.Back()
		c.order.Remove(last)
		if old, ok := last.Value.(*cached[V]); ok {
			delete(c.places, old.key)
		}
	}
}

// drop forgets a value, which has changed: who asks from now on is told what is now.
func (c *cache[V]) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	c.group.Forget(key)
	if place, ok := c.places[key]; ok {
		c.order.Remove(place)
		delete(c.places, key)
	}
}
