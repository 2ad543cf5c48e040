package token

import (
	"sync"

	"github.com/gbtpool/gbtpool/api/recent"
)

// cache keeps the values that were used last, at most size of them. It is safe for concurrent use.
type cache[K comparable, V any] struct {
	mu     sync.Mutex // guards values
	values *recent.Map[K, V]
}

// newCache makes a cache of a size of at least 2.
func newCache[K comparable, V any](size int) *cache[K, V] {
	return &cache[K, V]{values: recent.New[K, V](size / 2)}
}

// get returns a value; false if it is not there.
func (c *cache[K, V]) get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.values.Get(key)
}

// put keeps a value.
func (c *cache[K, V]) put(key K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values.Put(key, v)
}

// size returns how many values there are.
func (c *cache[K, V]) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.values.Len()
}
