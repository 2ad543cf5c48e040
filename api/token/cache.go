package token

import "sync"

// cache keeps the values that were used last, at most size of them. It has two halves: when the younger one
// is full it becomes the older one, and what is used there moves over. So each value that is used stays, at
// the cost of a map's. It is safe for concurrent use.
type cache[K comparable, V any] struct {
	half int

	mu         sync.Mutex // guards what follows
	young, old map[K]V
}

// newCache makes a cache of a size of at least 2.
func newCache[K comparable, V any](size int) *cache[K, V] {
	return &cache[K, V]{half: max(1, size/2), young: make(map[K]V)}
}

// get returns a value; false if it is not there.
func (c *cache[K, V]) get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.young[key]; ok {
		return v, true
	}
	v, ok := c.old[key]
	if ok {
		c.add(key, v)
	}
	return v, ok
}

// put keeps a value.
func (c *cache[K, V]) put(key K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(key, v)
}

func (c *cache[K, V]) add(key K, v V) {
	if _, there := c.young[key]; !there && len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[K]V)
	}
	c.young[key] = v
	delete(c.old, key)
}

// size returns how many values there are.
func (c *cache[K, V]) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.young) + len(c.old)
}
