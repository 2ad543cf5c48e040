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
	// life is for how long a value is good; 0 is for ever.
	life  time.Duration
	now   func() time.Time
	group singleflight.Group

	mu     sync.Mutex
	order  *list.List // of *cached[V], the most recently used first; held by mu
	places map[string]*list.Element
}

type cached[V any] struct {
	key   string
	value V
	at    time.Time
}

func newCache[V any](most int, life time.Duration, now func() time.Time) *cache[V] {
	return &cache[V]{most: most, life: life, now: now, order: list.New(), places: make(map[string]*list.Element)}
}

// get returns a value, which load reads unless it is known.
func (c *cache[V]) get(ctx context.Context, key string, load func(ctx context.Context) (V, error)) (V, error) {
	if v, ok := c.find(key); ok {
		return v, nil
	}
	answer := c.group.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readWait)
		defer cancel()
		at := c.now()
		v, err := load(ctx)
		if err == nil {
			c.put(&cached[V]{key, v, at})
		}
		return v, err
	})
	var none V
	select {
	case r := <-answer:
		v, ok := r.Val.(V)
		if r.Err != nil || !ok {
			return none, r.Err
		}
		return v, nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// find returns a value that is known and good.
func (c *cache[V]) find(key string) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var none V
	place, ok := c.places[key]
	if !ok {
		return none, false
	}
	e, ok := place.Value.(*cached[V])
	if !ok {
		return none, false
	}
	if c.life > 0 && c.now().Sub(e.at) >= c.life {
		c.order.Remove(place)
		delete(c.places, key)
		return none, false
	}
	c.order.MoveToFront(place)
	return e.value, true
}

// put remembers a value.
func (c *cache[V]) put(e *cached[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
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
