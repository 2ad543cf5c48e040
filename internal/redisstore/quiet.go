package redisstore

import "github.com/redis/go-redis/v9/logging"

// Quiet has the Redis library of this process print nothing by itself, for programs to call at their
// start: whatever goes wrong comes back as an error, which is logged once and in the log's own form.
func Quiet() { logging.Disable() }
